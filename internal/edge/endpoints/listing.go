package endpoints

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhirjson"
)

// Listing is what the list says of one practice, or would say.
type Listing struct {
	Base   string // the address of its FHIR interface
	At     string // of the list
	Listed bool
	Ours   bool // Publish put it there, and Withdraw can take it off

	Name, NPI string   // of the Organization it is listed under; Name is "" while there is none
	Addresses []string // of the Organization, a line each
	Contacts  []string // telephone, mail and web addresses
	JSON      string   // the entries of the list; "" while it is not listed
}

const npi = "http://hl7.org/fhir/sid/us-npi"

// Shows gives what the list says of the practice of s.
func (l *List) Shows(ctx context.Context, s db.Scope, p auth.Practice) (Listing, error) {
	out := Listing{Base: l.o.Origin + "/" + p.Slug + "/fhir", At: l.o.Origin + Path}
	entries, err := l.of(ctx, p)
	if err != nil {
		return out, err
	}
	if len(entries) == 2 {
		out.Listed, out.Ours = true, entries[1].At("resource", "id").Text() == ownID
		out.say(entries[0].Get("resource"))
		out.JSON = pretty(entries)
		return out, nil
	}
	own, err := l.o.People.Get(ctx, s)
	if err != nil || own.ID == "" {
		return out, err
	}
	ref := "Organization/" + own.ID
	var org *fhirstore.Resource
	err = l.o.DB.View(ctx, s, func(tx *db.Tx) error {
		all, err := l.o.Store.ReadMany(ctx, tx, []string{ref})
		org = all[ref]
		return err
	})
	if err == nil && org != nil {
		who := shorn(org.Node())
		out.say(&who)
	}
	return out, err
}

// say takes what people read from an Organization.
func (o *Listing) say(org *fhirjson.Node) {
	o.Name = org.Get("name").Text()
	for _, id := range org.Get("identifier").Items() {
		if id.Get("system").Text() == npi {
			o.NPI = id.Get("value").Text()
		}
	}
	for _, a := range org.Get("address").Items() {
		var parts []string
		for _, line := range a.Get("line").Items() {
			parts = append(parts, line.Text())
		}
		parts = append(parts, a.Get("city").Text(), strings.TrimSpace(a.Get("state").Text()+" "+a.Get("postalCode").Text()))
		o.Addresses = append(o.Addresses, strings.Join(filled(parts), ", "))
	}
	for _, t := range org.Get("telecom").Items() {
		o.Contacts = append(o.Contacts, t.Get("value").Text())
	}
	o.Addresses, o.Contacts = filled(o.Addresses), filled(o.Contacts)
}

func filled(list []string) (out []string) {
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

func pretty(entries []fhirjson.Node) string {
	n := fhirjson.NewArray(entries...)
	var b bytes.Buffer
	if json.Indent(&b, n.AppendJSON(nil), "", "  ") != nil {
		return ""
	}
	return b.String()
}
