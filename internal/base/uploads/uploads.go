// Package uploads decides which bytes may come in as attachments: Binary resources and everything of type Attachment, whatever
// resource it is in and whichever door it takes. It owns the list of types, what bytes look like, and the way to a virus scanner.
//
// A type that is not on the list is refused, bytes that are plainly of another type than they say, programs, and files that are two
// kinds of file at once. What cannot be told is taken: it is handed out as bytes to be saved, never as a page (fhirapi). Without a
// scanner nothing is scanned, and nothing says that it was.
//
// It never keeps, changes or shows what it looks at.
package uploads

import (
	"context"
	"encoding/base64"
	"fmt"
	"mime"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Gate looks at attachments. The zero Gate has no scanner.
type Gate struct {
	Scanner *Scanner // nil: nothing is scanned. Set it before use
}

// Judge is what gives the judge of a practice's resources (fhirstore.Store.Judge).
type Judge = func(ctx context.Context, s db.Scope, history bool) (fhirstore.Checker, error)

// Before has attachments looked at before another judge is asked; history is looked at like everything else.
func (g *Gate) Before(other Judge) Judge {
	return func(ctx context.Context, s db.Scope, history bool) (fhirstore.Checker, error) {
		next, err := other(ctx, s, history)
		if err != nil {
			return nil, err
		}
		return func(n *fhirjson.Node) fhir.Issues {
			issues := g.Look(ctx, n)
			if issues.HasErrors() || next == nil {
				return issues
			}
			return append(issues, next(n)...)
		}, nil
	}
}

// Look gives what is wrong with the attachments of a resource, with the place of each.
func (g *Gate) Look(ctx context.Context, n *fhirjson.Node) (out fhir.Issues) {
	walk(n, nil, func(a *fhirjson.Node, at []step) {
		if issue := g.one(ctx, a); issue != nil {
			path := n.Get("resourceType").Text()
			for _, s := range at {
				if path += "." + s.name; s.index >= 0 {
					path += fmt.Sprintf("[%d]", s.index)
				}
			}
			out = append(out, *issue.At(path + ".data").On(a.Get("data")))
		}
	})
	return out
}

// step is one on the way to a value: the member's name and, in an array, the number.
type step struct {
	name  string
	index int // -1: the member is no array
}

// walk finds the objects that hold an attachment's bytes. A Signature and a SampledData have a member data too, which is something
// else. Every write comes by here, so the way is put into words only where something is wrong.
func walk(n *fhirjson.Node, at []step, found func(a *fhirjson.Node, at []step)) {
	if n.Kind() != fhirjson.Object {
		return
	}
	if d := n.Get("data"); d.Kind() == fhirjson.String && n.Get("who").Kind() == fhirjson.Null && n.Get("dimensions").Kind() == fhirjson.Null {
		found(n, at)
	}
	members := n.Members()
	for i := range members {
		switch v := &members[i].Value; v.Kind() {
		case fhirjson.Object:
			walk(v, append(at, step{members[i].Name, -1}), found)
		case fhirjson.Array:
			items := v.Items()
			for k := range items {
				walk(&items[k], append(at, step{members[i].Name, k}), found)
			}
		}
	}
}

func (g *Gate) one(ctx context.Context, a *fhirjson.Node) *fhir.Issue {
	data, err := base64.StdEncoding.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '\n' || r == '\r' || r == '\t' {
			return -1
		}
		return r
	}, a.Get("data").Text()))
	if err != nil {
		return fhir.Problem("value", "The bytes of this attachment are not base64.", "Encode them in base64.")
	}
	if issue := Check(a.Get("contentType").Text(), data); issue != nil || g == nil || g.Scanner == nil {
		return issue
	}
	return g.Scanner.scan(ctx, data)
}

// Check says what is wrong with bytes that are said to be of a media type ("": that of bytes nothing is known of).
func Check(contentType string, data []byte) *fhir.Issue {
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return notTaken(contentType)
	}
	may, ok := typeOf(media)
	if !ok {
		return notTaken(media)
	}
	is := kindOf(data)
	switch {
	case is == program:
		return fhir.Problem("business-rule", "This attachment is a program.", "Programs are not kept in charts. Send a document, a picture or a recording.")
	case is != unknown && may&is == 0:
		return fhir.Problem("business-rule", fmt.Sprintf("This attachment says that it is %s, and its bytes are %s.", media, is.words()), "Name the type that it is, if that is one that is taken.")
	case twofold(is, data):
		return fhir.Problem("business-rule", "This attachment is two kinds of file in one.", "Save it anew with the program that made it, and send that.")
	}
	return nil
}

func notTaken(media string) *fhir.Issue {
	if len(media) > 60 {
		media = media[:60] + "…"
	}
	return fhir.Problem("business-rule", fmt.Sprintf("Attachments of type %q are not taken.", media), "Send it as a document, picture, recording or data of a type that docs/api.md lists.")
}
