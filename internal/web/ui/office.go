package ui

import (
	"net/http"

	"github.com/a-h/templ"

	"yarrow.health/internal/base/auth"
)

// offices are the headings of the page of the practice, in their order.
var offices = []string{"people", "privacy", "programs"}

// office gives what stands on the page of the practice and the person may do. Who looks after nothing gets none: what everybody may
// do, such as looking at one's own connections, is in the palette and makes no office.
func (q *Request) office() (out []Command) {
	own := false
	for _, o := range offices {
		for _, c := range q.router.cmds {
			if c.Office == o && q.Can(c.Permission) {
				out = append(out, c)
				own = own || c.Permission != auth.AccountSecurity
			}
		}
	}
	if !own {
		return nil
	}
	return out
}

// inOffice says whether a page is one of those, for somebody who looks after the practice.
func (q *Request) inOffice(s Shell) bool {
	for _, c := range q.office() {
		if c.ID == s.Active {
			return true
		}
	}
	return s.Active == "practice" && len(q.office()) > 0
}

func (r *Router) officePage(w *Reply, q *Request) error {
	return w.HTML(http.StatusOK, OfficePage(q, q.office()))
}

// Current marks a link to the page that is shown. An attribute without a value would say that it is not.
func Current(is bool) templ.Attributes {
	if !is {
		return nil
	}
	return templ.Attributes{"aria-current": "page"}
}
