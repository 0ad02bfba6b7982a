package safety

import (
	"net/http"
	"time"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/web/ui"
)

// agreement is the page on which a practice signs, or sees what it signed.
type agreement struct {
	In         auth.Signature
	Text, Hash string
	Signed     []auth.Agreement
	Trouble    trouble
}

func (o *Safety) agreementPage(w *ui.Reply, q *ui.Request) error {
	return o.showAgreement(w, q, http.StatusOK, agreement{})
}

func (o *Safety) showAgreement(w *ui.Reply, q *ui.Request, status int, v agreement) (err error) {
	v.Text, v.Hash = auth.AgreementText()
	if v.Signed, err = o.auth.Agreements(q.Context(), q.Staff); err != nil {
		return err
	}
	s, err := o.shell(q, q.T("agreement.title"), "agreement")
	if err != nil {
		return err
	}
	return w.HTML(status, agreementView(q, s, v))
}

func (o *Safety) signAgreement(w *ui.Reply, q *ui.Request) error {
	in := auth.Signature{Hash: q.Form("hash"), Entity: q.Form("entity"), Person: q.Form("person"), Position: q.Form("position"), Authority: q.Form("authority") != ""}
	_, err := o.auth.SignAgreement(q.Context(), q.Staff, in)
	if t, status, ok := troubleOf(q, err); ok {
		return o.showAgreement(w, q, status, agreement{In: in, Trouble: t})
	}
	if err != nil {
		return err
	}
	w.Toast(q.T("agreement.done"), "")
	w.Redirect(q.URL("agreement"))
	return nil
}

// agreementCopy is what was signed, with the signature, as a text to keep.
func (o *Safety) agreementCopy(w *ui.Reply, q *ui.Request) error {
	signed, err := o.auth.Agreements(q.Context(), q.Staff)
	if err != nil {
		return err
	}
	if len(signed) == 0 {
		return none(q)
	}
	g := signed[0]
	w.Header("Content-Disposition", `attachment; filename="agreement-`+g.Version+`.txt"`)
	signature := "\nAccount: " + g.Account + "\nTime: " + g.Signed.UTC().Format("2006-01-02 15:04:05") + " UTC\nFrom: " + g.Address
	if g.Paper != "" {
		signature = "\nSigned on paper on: " + g.Signed.UTC().Format(time.DateOnly) + "\nRecorded by " + g.Account + ": " + g.Recorded.UTC().Format("2006-01-02 15:04:05") + " UTC\nSHA-256 of the scan: " + g.Paper
	}
	w.Bytes(http.StatusOK, "text/plain; charset=utf-8", []byte(g.Text+"\n"+
		"SIGNATURE\n\nFor the practice: "+g.Entity+"\nSigned by: "+g.Person+", "+g.Position+signature+"\nSHA-256 of the text above: "+g.Hash+"\n"))
	return nil
}
