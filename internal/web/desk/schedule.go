package desk

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/clinic/patient"
	"yarrow.health/internal/clinic/practice"
	"yarrow.health/internal/clinic/scheduling"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/web/ui"
)

// daySheet is what the schedule page shows.
type daySheet struct {
	Day     *scheduling.Day
	At      time.Time // the day
	Today   time.Time
	Sites   []practice.Site
	All     []practice.Member // everybody who sees patients there
	Shown   []string          // ids of those shown; empty: all
	Open    *scheduling.Block // the block whose details are shown
	Version int64
	Who     patient.Hit // whose visit is open
}

// schedulePage shows a day. Which day, site and people stand in the address: none of it is about a patient but the opaque id of
// the appointment that is open.
func (d *Desk) schedulePage(w *ui.Reply, q *ui.Request) error {
	ctx := q.Context()
	profile, err := d.people.Get(ctx, q.Staff)
	if err != nil {
		return err
	}
	today := q.Now().In(profile.Zone)
	at := today
	if t := q.Query("date"); t != "" {
		if at, err = time.ParseInLocation(time.DateOnly, t, profile.Zone); err != nil {
			return fhir.Problem("value", q.T("schedule.date"), q.T("schedule.date.fix"))
		}
	}
	site := q.Query("site")
	shown := q.Queries("staff")
	day, err := d.book.Day(ctx, q.Staff, at.Format(time.DateOnly), site, shown...)
	if err != nil {
		return err
	}
	s := daySheet{Day: day, At: at, Today: today, Sites: profile.Sites, All: profile.Bookable(site), Shown: shown}
	e := audit.Event{Action: audit.ActionSearch, Type: "Appointment", Purpose: "HOPERAT", Categories: []string{"schedule"}}
	for _, c := range day.Columns {
		for i, b := range c.Blocks {
			if b.PatientID != "" {
				e.Links = append(e.Links, "Patient/"+b.PatientID)
			}
			if b.ID == q.Query("open") {
				s.Open = &c.Blocks[i]
			}
		}
	}
	w.See(e)
	if s.Open != nil && !s.Open.Restricted {
		known, err := d.patients.Get(ctx, q.Staff, s.Open.PatientID)
		if err != nil {
			return err
		}
		s.Who = known[s.Open.PatientID]
		w.See(seenVisit(*s.Open))
	}
	if q.Fragment() {
		if q.Query("part") == "detail" {
			return w.HTML(ok, dayDetail(q, s))
		}
		return w.HTML(ok, dayBody(q, s))
	}
	shell, err := d.shell(q, q.T("cmd.schedule")+", "+q.Weekday(at), "schedule", true)
	if err != nil {
		return err
	}
	return w.HTML(ok, scheduleView(q, shell, s))
}

// seenVisit puts on record that somebody looked at one visit.
func seenVisit(b scheduling.Block) audit.Event {
	return audit.Event{Action: audit.ActionRead, Type: "Appointment", ID: b.ID, Version: b.Version, Patient: "Patient/" + b.PatientID, Categories: []string{"schedule", "demographics"}}
}

// with names whom a visit is with.
func (s daySheet) with(b scheduling.Block) string {
	for _, c := range s.Day.Columns {
		if c.Staff.ID == b.StaffID {
			return c.Staff.Name()
		}
	}
	return ""
}

// link is the address of the page with something changed.
func (s daySheet) link(q *ui.Request, date, site, open string) string {
	u := q.URL("schedule") + "?date=" + date
	if site != "" {
		u += "&site=" + site
	}
	for _, p := range s.Shown {
		u += "&staff=" + p
	}
	if open != "" {
		u += "&open=" + open
	}
	return u
}

func (s daySheet) self(q *ui.Request) string {
	open := ""
	if s.Open != nil {
		open = s.Open.ID
	}
	return s.link(q, s.Day.Date, s.Day.Site, open)
}

func (s daySheet) visible(id string) bool { return len(s.Shown) == 0 || slices.Contains(s.Shown, id) }

func (s daySheet) count(id string) int {
	for _, c := range s.Day.Columns {
		if c.Staff.ID == id {
			n := 0
			for _, b := range c.Blocks {
				if b.PatientID != "" {
					n++
				}
			}
			return n
		}
	}
	return 0
}

// month lists the days around the shown one, in whole weeks from Monday.
func (s daySheet) month() []time.Time {
	first := time.Date(s.At.Year(), s.At.Month(), 1, 12, 0, 0, 0, s.At.Location())
	first = first.AddDate(0, 0, -int(first.Weekday()+6)%7)
	var out []time.Time
	for t := first; len(out) < 42; t = t.AddDate(0, 0, 1) {
		out = append(out, t)
	}
	if out[35].Month() != s.At.Month() {
		out = out[:35]
	}
	return out
}

func (s daySheet) hours() (out []int) {
	for h := s.Day.Opens / 60; h*60 < s.Day.Closes; h++ {
		out = append(out, h)
	}
	return out
}

func hourText(h int) string {
	return fmt.Sprintf("%d %s", (h+11)%12+1, map[bool]string{true: "am", false: "pm"}[h%24 < 12])
}

func clockText(minute int) string {
	return fmt.Sprintf("%d:%02d", (minute/60+11)%12+1, minute%60)
}

// blockClass places a block in its column: row, length, lane.
func (s daySheet) blockClass(b scheduling.Block) string {
	row := max(0, (b.From-s.Day.Opens)/5)
	length := max(2, (b.Minutes()+4)/5)
	c := fmt.Sprintf("ap s-%s r%d n%d", statusClass(b), row, length)
	if b.Lanes > 1 {
		c += fmt.Sprintf(" l%dof%d", min(b.Lane, 3), min(b.Lanes, 4))
	}
	if b.Minutes() < 20 {
		c += " sh"
	}
	return c
}

func statusClass(b scheduling.Block) string {
	if b.PatientID == "" {
		if strings.HasPrefix(strings.ToLower(b.Reason+b.Type), "hold") {
			return "hold"
		}
		return "block"
	}
	return map[scheduling.Status]string{scheduling.Booked: "booked", scheduling.Confirmed: "conf", scheduling.Arrived: "arrived", scheduling.Roomed: "roomed",
		scheduling.InVisit: "visit", scheduling.Done: "done", scheduling.NoShow: "noshow"}[b.Status]
}

func statusIcon(st scheduling.Status) string {
	return map[scheduling.Status]string{scheduling.Booked: "circle-dashed", scheduling.Confirmed: "circle-check", scheduling.Arrived: "log-in", scheduling.Roomed: "door-open",
		scheduling.InVisit: "stethoscope", scheduling.Done: "check", scheduling.NoShow: "user-x"}[st]
}

// loud says that a state needs somebody's eyes and is written out on the block.
func loud(st scheduling.Status) bool {
	return st == scheduling.Arrived || st == scheduling.Roomed || st == scheduling.InVisit || st == scheduling.NoShow
}

func blockName(q *ui.Request, b scheduling.Block) string {
	switch {
	case b.PatientID == "" && b.Restricted:
		return q.T("patient.restricted")
	case b.PatientID == "":
		return strings.TrimSpace(b.Reason + " " + map[bool]string{true: b.Type}[b.Reason == ""])
	case b.Restricted:
		return b.Short
	}
	return b.Name
}

func blockReason(q *ui.Request, b scheduling.Block) string {
	if b.Restricted {
		return q.T("patient.restricted")
	}
	if b.Reason != "" {
		return b.Reason
	}
	return b.Type
}

func blockTitle(q *ui.Request, b scheduling.Block) string {
	t := blockName(q, b) + ", " + clockText(b.From) + ", " + strconv.Itoa(b.Minutes()) + " min"
	if b.PatientID != "" {
		t += ", " + q.T("status."+string(b.Status)) + ", " + blockReason(q, b)
	}
	return t
}

func minutes(d time.Duration) string { return strconv.Itoa(int(d.Minutes())) + " min" }

// setStatus moves a visit on or back; the toast takes it back.
func (d *Desk) setStatus(w *ui.Reply, q *ui.Request) error {
	// An undo is a bare button: what it puts back stands in its address.
	field := func(name string) string {
		if v := q.Form(name); v != "" {
			return v
		}
		return q.Query(name)
	}
	version, err := strconv.ParseInt(field("version"), 10, 64)
	if err != nil {
		return fhir.Problem("value", q.T("schedule.version"), q.T("error.again"))
	}
	id, to := q.Path("appointment"), scheduling.Status(field("status"))
	back := q.Form("back")
	if !strings.HasPrefix(back, q.URL("schedule")) && !strings.HasPrefix(back, q.URL("patients")) {
		back = q.URL("schedule")
	}
	ctx := w.Once(func(was []string) { // its status and the version it has now
		undo := ""
		if q.Query("status") == "" {
			undo = q.URL("schedule", id, "status") + "?status=" + was[0] + "&version=" + was[1]
		}
		w.Toast(q.T("status.now", q.T("status."+string(to))), undo)
		w.Redirect(back)
	})
	_, err = d.book.SetStatus(ctx, q.Staff, id, version, to, field("room"))
	return err
}

// visit is the booking form as it stands.
type visit struct {
	Date, Time, Staff, Site, Patient, Type, Reason, Minutes string
	Chosen                                                  *patient.Hit
	Hits                                                    []patient.Hit
	Find                                                    string
	Members                                                 []practice.Member
	Sites                                                   []practice.Site
	Taken                                                   *scheduling.Taken
	Errors                                                  []ui.FieldError
}

func (d *Desk) bookPage(w *ui.Reply, q *ui.Request) error {
	v := visit{Date: q.Query("date"), Time: q.Query("time"), Staff: q.Query("staff"), Site: q.Query("site"), Patient: q.Query("patient")}
	return d.showVisit(w, q, ok, v)
}

func (d *Desk) showVisit(w *ui.Reply, q *ui.Request, status int, v visit) error {
	profile, err := d.people.Get(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	v.Members, v.Sites = profile.Bookable(v.Site), profile.Sites
	if v.Date == "" {
		v.Date = q.Now().In(profile.Zone).Format(time.DateOnly)
	}
	if v.Patient != "" {
		known, err := d.patients.Get(q.Context(), q.Staff, v.Patient)
		if err != nil {
			return err
		}
		if h, ok := known[v.Patient]; ok {
			v.Chosen = &h
		}
	} else if v.Find != "" {
		if v.Hits, err = d.patients.Search(q.Context(), q.Staff, v.Find, 6); err != nil {
			return err
		}
	}
	if v.Chosen != nil {
		w.See(seen([]patient.Hit{*v.Chosen}))
	} else if len(v.Hits) > 0 {
		w.See(seen(v.Hits))
	}
	if q.Fragment() {
		return w.HTML(status, bookDialog(q, v))
	}
	s, err := d.shell(q, q.T("book.title"), "schedule", false)
	if err != nil {
		return err
	}
	return w.HTML(status, bookView(q, s, v))
}

func (d *Desk) bookVisit(w *ui.Reply, q *ui.Request) error {
	v := visit{Date: q.Form("date"), Time: q.Form("time"), Staff: q.Form("staff"), Site: q.Form("site"), Patient: q.Form("patient"), Type: q.Form("type"),
		Reason: q.Form("reason"), Minutes: q.Form("minutes"), Find: q.Form("find")}
	if q.Form("step") == "find" {
		v.Patient = ""
		return d.showVisit(w, q, ok, v)
	}
	if q.Form("choose") != "" {
		v.Patient = q.Form("choose")
		return d.showVisit(w, q, ok, v)
	}
	profile, err := d.people.Get(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	in := scheduling.Request{PatientID: v.Patient, StaffID: v.Staff, SiteID: v.Site, Type: v.Type, Reason: v.Reason, Double: q.Form("double") == "yes"}
	if in.SiteID == "" {
		if m, ok := profile.Member(v.Staff); ok && len(m.Sites) > 0 {
			in.SiteID = m.Sites[0]
		}
	}
	if v.Patient == "" {
		v.Errors = append(v.Errors, ui.FieldError{Field: "find", Words: q.T("book.patient.err")})
	}
	if in.Start, err = time.ParseInLocation("2006-01-02 15:04", v.Date+" "+clock24(v.Time), profile.Zone); err != nil {
		v.Errors = append(v.Errors, ui.FieldError{Field: "time", Words: q.T("book.time.err")})
	}
	in.Minutes, _ = strconv.Atoi(v.Minutes)
	for _, t := range scheduling.VisitTypes() {
		if t.Name == v.Type {
			in.Video = t.Video
			if in.Minutes == 0 {
				in.Minutes = t.Minutes
			}
		}
	}
	if in.Minutes <= 0 {
		in.Minutes = 20
	}
	if len(v.Errors) > 0 {
		return d.showVisit(w, q, http.StatusUnprocessableEntity, v)
	}
	ctx := w.Once(func([]string) {
		w.Toast(q.T("book.done"), "")
		w.Redirect(q.URL("schedule") + "?date=" + in.Start.Format(time.DateOnly))
	})
	_, err = d.book.Book(ctx, q.Staff, in)
	var issues fhir.Issues
	var one *fhir.Issue
	switch {
	case errors.As(err, &v.Taken):
		return d.showVisit(w, q, http.StatusConflict, v)
	case errors.As(err, &issues):
		for _, i := range issues {
			v.Errors = append(v.Errors, ui.FieldError{Field: i.Path, Words: q.Says(&i)})
		}
		return d.showVisit(w, q, http.StatusUnprocessableEntity, v)
	case errors.As(err, &one) && fhir.HTTPStatus(one.Code) < 500:
		v.Errors = []ui.FieldError{{Field: one.Path, Words: q.Says(one)}}
		return d.showVisit(w, q, http.StatusUnprocessableEntity, v)
	}
	return err
}

// clock24 reads a time as people type it: 9, 9:30, 930, 2pm, 2:15 pm, 14:15. Small hours without am or pm are afternoon ones.
func clock24(s string) string {
	s = strings.ToLower(strings.ReplaceAll(s, " ", ""))
	half := ""
	for _, h := range []string{"am", "pm", "a", "p"} {
		if t, ok := strings.CutSuffix(s, h); ok {
			s, half = t, h[:1]
			break
		}
	}
	s = strings.ReplaceAll(s, ".", ":")
	hour, minute, ok := strings.Cut(s, ":")
	if !ok {
		minute = "00"
		if len(s) >= 3 {
			hour, minute = s[:len(s)-2], s[len(s)-2:]
		}
	}
	h, err := strconv.Atoi(hour)
	if err != nil || len(minute) != 2 {
		return s
	}
	switch {
	case half == "p" && h < 12, half == "" && h > 0 && h < 7 && len(hour) == 1:
		h += 12
	case half == "a" && h == 12:
		h = 0
	}
	return fmt.Sprintf("%02d:%s", h, minute)
}

// canMove says whether the person may move visits on.
func canMove(q *ui.Request) bool { return q.Can(auth.ScheduleWrite) }
