package desk

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// moving is the form that gives a visit another time or person, as it stands.
type moving struct {
	Block                      scheduling.Block
	Date, Time, Staff, Minutes string
	Version                    string
	Members                    []practice.Member
	Taken                      *scheduling.Taken
	Errors                     []ui.FieldError
}

func (d *Desk) movePage(w *ui.Reply, q *ui.Request) error {
	b, err := d.book.Appointment(q.Context(), q.Staff, q.Path("appointment"))
	if err != nil {
		return err
	}
	return d.showMove(w, q, ok, moving{Date: q.Query("date"), Time: clockWords(b.From), Staff: b.StaffID, Minutes: strconv.Itoa(b.Minutes()), Version: strconv.FormatInt(b.Version, 10)})
}

func (d *Desk) showMove(w *ui.Reply, q *ui.Request, status int, m moving) error {
	profile, err := d.people.Get(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	if m.Block, err = d.book.Appointment(q.Context(), q.Staff, q.Path("appointment")); err != nil {
		return err
	}
	if m.Date == "" {
		m.Date = q.Now().In(profile.Zone).Format(time.DateOnly)
	}
	m.Members = profile.Bookable("")
	w.See(seenVisit(m.Block))
	if q.Fragment() {
		return w.HTML(status, moveDialog(q, m))
	}
	s, err := d.shell(q, q.T("move.title"), "schedule", false)
	if err != nil {
		return err
	}
	return w.HTML(status, moveView(q, s, m))
}

func (d *Desk) moveVisit(w *ui.Reply, q *ui.Request) error {
	m := moving{Date: q.Form("date"), Time: q.Form("time"), Staff: q.Form("staff"), Minutes: q.Form("minutes"), Version: q.Form("version")}
	profile, err := d.people.Get(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	start, err := time.ParseInLocation("2006-01-02 15:04", m.Date+" "+clock24(m.Time), profile.Zone)
	if err != nil {
		m.Errors = append(m.Errors, ui.FieldError{Field: "time", Words: q.T("book.time.err")})
	}
	minutes, err := strconv.Atoi(m.Minutes)
	if err != nil {
		m.Errors = append(m.Errors, ui.FieldError{Field: "minutes", Words: q.T("move.minutes.err")})
	}
	version, err := strconv.ParseInt(m.Version, 10, 64)
	if err != nil {
		return fhir.Problem("value", q.T("schedule.version"), q.T("error.again"))
	}
	if len(m.Errors) > 0 {
		return d.showMove(w, q, http.StatusUnprocessableEntity, m)
	}
	ctx := w.Once(func([]string) {
		w.Toast(q.T("move.toast"), "")
		w.Redirect(q.URL("schedule") + "?date=" + start.Format(time.DateOnly) + "&open=" + q.Path("appointment"))
	})
	err = d.book.Move(ctx, q.Staff, q.Path("appointment"), version, start, minutes, m.Staff, q.Form("double") == "yes")
	var one *fhir.Issue
	switch {
	case errors.As(err, &m.Taken):
		return d.showMove(w, q, http.StatusConflict, m)
	case errors.As(err, &one) && one.Path != "":
		m.Errors = []ui.FieldError{{Field: one.Path, Words: q.Says(one)}}
		return d.showMove(w, q, http.StatusUnprocessableEntity, m)
	}
	return err
}

// clockWords writes a time so that clock24 reads it back: "9:05 am".
func clockWords(minute int) string {
	return clockText(minute) + map[bool]string{true: " am", false: " pm"}[minute < 12*60]
}

// years leaves the unit off an age in years, which everybody reads; months and days keep theirs.
func years(q *ui.Request, age string) string {
	if n, whole := strings.CutSuffix(age, " y"); whole {
		return n
	}
	return q.Age(age)
}
