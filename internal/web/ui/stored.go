package ui

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/jobs"
	"yarrow.health/internal/standards/fhir"
)

// Once gives the context under which the one change of this form is made. The form's key and its answer are stored in the
// change's own transaction: a repeat gets the answer of the first, on any node and after any crash, and changes nothing.
//
// say prepares the answer with Toast and Redirect. It runs inside the transaction, when the change is made and before it is
// durable, with what the module told by jobs.Made. When the module's method then returns nil the answer stands; return nil.
func (w *Reply) Once(say func(made []string)) context.Context {
	w.once = &jobs.Once{Key: w.q.formKey(), Practice: w.q.Staff.Practice()}
	if w.q.permission == auth.AccountSecurity { // logins, credentials and sessions are in the system store
		w.once.Practice = db.System
	}
	w.once.Reply = func(made []string) (jobs.Reply, error) {
		w.unsay()
		say(made)
		r := jobs.Reply{Status: w.status, Location: w.header.Get("Location")}
		if r.Location == "" {
			r.Location = w.header.Get("HX-Redirect")
		}
		if r.Location == "" {
			return r, errors.New("ui: a form's answer leads nowhere")
		}
		var err error
		if w.toast != nil {
			r.Body, err = json.Marshal([2]string{w.toast.words, w.toast.undo})
		}
		return r, err
	}
	return w.once.Context(w.q.Context())
}

// unsay takes back an answer that was prepared for a change that did not come about.
func (w *Reply) unsay() {
	w.status, w.toast = 0, nil
	w.body.Reset()
	w.header.Del("Location")
	w.header.Del("HX-Redirect")
}

// formKey names the form: who sent it, where to, its hidden field, and what was in it. Without the hidden field it has no value.
func (q *Request) formKey() jobs.Key {
	sum := sha256.Sum256([]byte(q.hr.PostForm.Encode()))
	return jobs.Key{Principal: "staff:" + strconv.FormatInt(q.Staff.UserID(), 10), Route: "POST " + q.hr.URL.RequestURI(), Value: q.Form(onceField), Request: hex.EncodeToString(sum[:])}
}

// carryOut answers a form that has a key: with the stored answer when there is one, else by its handler.
func (r *Router) carryOut(w *Reply, q *Request, h Handler) {
	if r.repeated(w, q, false) {
		return
	}
	err := h(w, q)
	if w.once != nil && w.once.Late() { // another node was quicker
		w.unsay()
		w.seen = nil
		if r.repeated(w, q, true) {
			return
		}
	}
	r.finish(w, q, err)
}

// repeated answers a form whose change is stored. A form with other content under the same key is refused, with what was typed
// kept for sending it on purpose.
func (r *Router) repeated(w *Reply, q *Request, late bool) bool {
	if r.o.Answered == nil {
		return false
	}
	var s db.Scope = q.Staff
	if q.permission == auth.AccountSecurity {
		s = auth.SystemScope(db.System, "form")
	}
	was, err := r.o.Answered(q.Context(), s, q.formKey(), late)
	switch {
	case errors.Is(err, jobs.ErrOtherRequest):
		w.again()
	case err != nil:
		r.finish(w, q, err)
	case was == nil:
		return false
	default:
		var words [2]string
		if len(was.Body) > 0 && json.Unmarshal(was.Body, &words) == nil {
			w.Toast(words[0], words[1])
		}
		w.Redirect(was.Location)
		w.send(nil)
	}
	return true
}

// again shows that a form was stored before with other content, and offers to store this too.
func (w *Reply) again() {
	i := fhir.Problem("conflict", w.q.T("error.sent"), w.q.T("error.sent.fix"))
	fields := w.q.Fields()
	delete(fields, onceField)
	page := againPage(w.q, i, fields)
	if w.q.Fragment() {
		page = againPanel(w.q, i, fields)
	}
	_ = w.HTML(http.StatusConflict, page)
	w.sent = false
	w.send(nil)
}
