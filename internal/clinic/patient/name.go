package patient

import (
	"strings"

	"yarrow.health/internal/standards/fhirjson"
)

// Name is a person's name as the chart shows it. The family name is written in
// capitals wherever identity matters (NHS Common User Interface, patient banner).
type Name struct {
	Family    string
	Given     string
	Middle    string // further given names
	Preferred string // nickname or usual first name, when it differs from Given
	Suffix    string
}

// Display is "OKAFOR-REYES, Maria E. (Mari)"; a person without a name is "Name not known".
func (n Name) Display() string {
	head, tail := n.Head(), n.Tail()
	switch {
	case head == "" && tail == "":
		return "Name not known"
	case head == "":
		return tail
	case tail == "":
		return head
	}
	return head + ", " + tail
}

// Head is the family name in capitals.
func (n Name) Head() string { return strings.ToUpper(n.Family) }

// Tail is everything after the family name.
func (n Name) Tail() string {
	t := strings.TrimSpace(n.Given + " " + n.Middle)
	if n.Suffix != "" {
		t = strings.TrimSpace(t + " " + n.Suffix)
	}
	if n.Preferred != "" {
		t = strings.TrimSpace(t + " (" + n.Preferred + ")")
	}
	return t
}

// Short is "Okafor-Reyes, Maria", for lists where space is short.
func (n Name) Short() string {
	if n.Family == "" {
		return n.Given
	}
	if n.Given == "" {
		return n.Family
	}
	return n.Family + ", " + n.Given
}

// Tab is "Okafor-Reyes, M", for the tabs of open charts.
func (n Name) Tab() string {
	for _, r := range n.Given {
		return strings.TrimSpace(n.Family + ", " + string(r))
	}
	return n.Family
}

// Initials are one or two letters.
func (n Name) Initials() string {
	var b strings.Builder
	for _, s := range []string{n.Given, n.Family} {
		for _, r := range s {
			b.WriteRune(r)
			break
		}
	}
	return strings.ToUpper(b.String())
}

// nameInUse is official before usual before the first that is not old.
func nameInUse(p *fhirjson.Node) (best *fhirjson.Node) {
	rank := 99
	items := p.Get("name").Items()
	for i := range items {
		r := 3
		switch items[i].Get("use").Text() {
		case "official":
			r = 0
		case "usual":
			r = 1
		case "":
			r = 2
		case "nickname":
			r = 8
		case "old", "maiden":
			r = 9
		}
		if r < rank {
			rank, best = r, &items[i]
		}
	}
	return best
}

// names reads Patient.name: the name in use, and every part ever recorded, for searching.
func names(p *fhirjson.Node) (in Name, all []string) {
	items := p.Get("name").Items()
	for i := range items {
		n := &items[i]
		all = append(all, n.Get("family").Text())
		for _, g := range n.Get("given").Items() {
			all = append(all, g.Text())
		}
		if n.Get("family") == nil && n.Get("given") == nil {
			all = append(all, n.Get("text").Text())
		}
		if n.Get("use").Text() == "nickname" {
			in.Preferred = first(n.Get("given"))
		}
	}
	best := nameInUse(p)
	if best == nil {
		return in, all
	}
	in.Family = best.Get("family").Text()
	for i, g := range best.Get("given").Items() {
		if i == 0 {
			in.Given = g.Text()
		} else {
			in.Middle = strings.TrimSpace(in.Middle + " " + g.Text())
		}
	}
	in.Suffix = first(best.Get("suffix"))
	if in.Family == "" && in.Given == "" {
		in.Family = best.Get("text").Text()
	}
	if in.Preferred == in.Given {
		in.Preferred = ""
	}
	return in, all
}

func first(n *fhirjson.Node) string {
	if l := n.Items(); len(l) > 0 {
		return l[0].Text()
	}
	return ""
}
