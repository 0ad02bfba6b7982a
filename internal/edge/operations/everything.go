package operations

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirsearch"
)

// everything answers Patient/x/$everything, Patient/$everything and Encounter/x/$everything
// (http://hl7.org/fhir/R4/operation-patient-everything.html): type by type, the patient or visit itself first. What does not
// belong to a patient but is named by what is shown (people, places, organizations, medications) comes with the page that names it.
func everything(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	var r record
	err := c.View(ctx, func(tx *db.Tx) error {
		values, place, err := c.OpenPage(tx)
		if err != nil {
			return err
		}
		if r, err = recordOf(c, values); err != nil {
			return err
		}
		next, err := r.fill(ctx, tx, place)
		if err != nil {
			return err
		}
		if err := r.follow(ctx, tx); err != nil {
			return err
		}
		if r.set.Whole = place == "" && next == ""; next != "" {
			r.set.Next, err = c.SealPage(tx, values, next)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	c.SeeAll("$everything", r.set.Matches, r.set.Included)
	return c.Searchset(r.set), nil
}

// record is what a call of $everything asks for, and a page of it.
type record struct {
	c     *fhirapi.Call
	types []string // in the order of the pages
	of    span
	since string
	room  int
	set   fhirapi.Set
}

// lookedAt bounds the resources that one page of a span of dates looks at.
const lookedAt = 5000

func recordOf(c *fhirapi.Call, v url.Values) (r record, err error) {
	r.c = c
	if r.room, err = count(v.Get("_count")); err != nil {
		return r, err
	}
	if r.of, err = spanOf(v.Get("start"), v.Get("end")); err != nil {
		return r, err
	}
	if s := v.Get("_since"); s != "" {
		t, err := instant("_since", s)
		if err != nil {
			return r, err
		}
		r.since = "ge" + t.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	wanted := map[string]bool{}
	for _, list := range v["_type"] {
		for typ := range strings.SplitSeq(list, ",") {
			if typ = strings.TrimSpace(typ); !fhir.IsResourceType(typ) {
				return r, fhir.Problem("value", "_type has a name that is no resource type of FHIR R4.", fhirsearch.NearestType(typ)).At("_type")
			}
			wanted[typ] = true
		}
	}
	access := auth.AccessOf(c.Scope)
	add := func(typ string) {
		if (len(wanted) == 0 || wanted[typ]) && access.Allows(typ, auth.CanSearch) && access.Allows(typ, auth.CanRead) {
			r.types = append(r.types, typ)
		}
	}
	add(c.Type)
	for _, typ := range fhir.ResourceTypes() {
		if typ != c.Type && len(fhir.Compartment(c.Type, typ)) > 0 {
			add(typ)
		}
	}
	return r, nil
}

// fill gathers a page from a place, "Type cursor" or "" for the first, and returns the place of the next one.
func (r *record) fill(ctx context.Context, tx *db.Tx, place string) (next string, err error) {
	from, cursor, _ := strings.Cut(place, " ")
	if r.c.ID != "" {
		// Who may not see the patient is told so, on every page and whatever is asked for.
		self, err := r.c.Store().Read(ctx, tx, r.c.Type, r.c.ID)
		if err != nil {
			return "", err
		}
		if place == "" && slices.Contains(r.types, r.c.Type) && r.recent(self) {
			r.set.Matches = append(r.set.Matches, self)
			r.room--
		}
	}
	begun, looked := from == "", 0
	for _, typ := range r.types {
		if begun = begun || typ == from; !begun || r.c.ID != "" && typ == r.c.Type {
			continue
		}
		if typ != from {
			cursor = ""
		}
		for {
			if r.room <= 0 || looked >= lookedAt {
				return strings.TrimSpace(typ + " " + cursor), nil
			}
			page, err := r.page(ctx, tx, typ, cursor)
			if err != nil {
				return "", err
			}
			looked += len(page.Resources)
			for _, x := range page.Resources {
				if r.of.holds(typ, x.Node()) && (r.c.ID != "" || fhirapi.PatientOf(x) != "") {
					r.set.Matches = append(r.set.Matches, x)
					r.room--
				}
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
	}
	return "", nil
}

func (r *record) recent(x *fhirstore.Resource) bool {
	return r.since == "" || x.Updated.Format("2006-01-02T15:04:05.000000Z") >= strings.TrimPrefix(r.since, "ge")
}

// page is the next stretch of one type.
func (r *record) page(ctx context.Context, tx *db.Tx, typ, cursor string) (*fhirstore.Page, error) {
	params := map[string][]string{}
	if r.since != "" {
		params["_lastUpdated"] = []string{r.since}
	}
	q, issues := fhirsearch.ParseQuery(typ, params)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if q.Count = r.room; !r.of.open() {
		q.Count = min(max(r.room, 1), 1000)
	}
	if q.Page = cursor; r.c.ID != "" {
		q.Compartment = r.c.Type + "/" + r.c.ID
	}
	return r.c.Store().Search(ctx, tx, q)
}

// hops is how far references are followed from the record: from a role to its person and organization.
const hops = 3

// follow adds what the page names and what is nobody's record, as far as the scope may read it.
func (r *record) follow(ctx context.Context, tx *db.Tx) error {
	have := map[string]bool{}
	for _, x := range r.set.Matches {
		have[x.Reference()] = true
	}
	from := r.set.Matches
	for range hops {
		var refs []string
		for _, x := range from {
			references(x.Node(), r.c.Base, func(typ, id string) {
				ref := typ + "/" + id
				shared := len(fhir.Compartment("Patient", typ)) == 0
				if own := r.c.Type == "Encounter" && typ == "Patient"; (shared || own) && !have[ref] {
					have[ref] = true
					refs = append(refs, ref)
				}
			})
		}
		if len(refs) == 0 {
			return nil
		}
		found, err := r.c.Store().ReadMany(ctx, tx, refs)
		if err != nil {
			return err
		}
		from = nil
		for _, ref := range refs {
			if x := found[ref]; x != nil {
				from = append(from, x)
			}
		}
		r.set.Included = append(r.set.Included, from...)
	}
	return nil
}
