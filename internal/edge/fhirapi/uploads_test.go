package fhirapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/base/uploads"
)

// What may not come in as an attachment comes in by no door, and leaves nothing behind.
func TestAttachmentsAreLookedAt(t *testing.T) {
	each(t, func(t *testing.T, k *desk) {
		k.api.o.Store.Judge = (&uploads.Gate{}).Before(func(context.Context, db.Scope, bool) (fhirstore.Checker, error) { return nil, nil })
		k.must(201, "system", "PUT", "Patient/ann", `{"resourceType":"Patient","id":"ann"}`)
		b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
		attachment := func(media, data string) string { return fmt.Sprintf(`{"contentType":%q,"data":%q}`, media, b64(data)) }
		document := func(media, data string) string {
			return `{"resourceType":"DocumentReference","status":"current","content":[{"attachment":` + attachment(media, data) + `}]}`
		}
		for name, c := range map[string]struct{ media, data string }{
			"a page":    {"image/png", "<html><script>alert(1)</script>"},
			"a drawing": {"image/jpeg", "<?xml version='1.0'?><svg onload='alert(1)'/>"},
			"a program": {"application/pdf", "MZ\x90\x00\x03\x00"},
			"two kinds": {"image/gif", "GIF89a%PDF-1.4"},
			"no type":   {"application/x-sh", "rm"},
		} {
			t.Run(name, func(t *testing.T) {
				outer := k.t
				k.t = t
				defer func() { k.t = outer }()
				k.must(422, "system", "POST", "Binary", c.data, "Content-Type: "+c.media)
				k.must(422, "system", "POST", "Binary", fmt.Sprintf(`{"resourceType":"Binary","contentType":%q,"data":%q}`, c.media, b64(c.data)))
				k.must(422, "system", "PUT", "Binary/up", c.data, "Content-Type: "+c.media)
				k.must(404, "system", "GET", "Binary/up", "")
				r := k.must(422, "system", "POST", "DocumentReference", document(c.media, c.data))
				if !strings.Contains(r.body, "DocumentReference.content[0].attachment.data") {
					t.Errorf("the place is not named: %s", r.body)
				}
				k.must(422, "system", "POST", "", `{"resourceType":"Bundle","type":"transaction","entry":[
					{"fullUrl":"urn:uuid:5a4ae7a5-7f9c-4b0c-8c87-0c1b2c7d9a01","resource":{"resourceType":"Basic","code":{"text":"beside-`+name+`"}},"request":{"method":"POST","url":"Basic"}},
					{"fullUrl":"urn:uuid:5a4ae7a5-7f9c-4b0c-8c87-0c1b2c7d9a02","resource":`+document(c.media, c.data)+`,"request":{"method":"POST","url":"DocumentReference"}}]}`)
				k.must(422, "system", "PATCH", "Patient/ann", `[{"op":"add","path":"/photo","value":[`+attachment(c.media, c.data)+`]}]`, "Content-Type: application/json-patch+json")
				for _, loose := range []bool{false, true} { // imports, of history too
					_, _ = k.api.o.Store.Apply(t.Context(), k.as["system"], []byte(`{"resourceType":"Bundle","type":"batch","entry":[{"resource":`+
						strings.Replace(document(c.media, c.data), `"status"`, `"id":"imported","status"`, 1)+`,"request":{"method":"PUT","url":"DocumentReference/imported"}}]}`), fhirstore.ApplyOptions{KeepIDs: true, Loose: loose})
					k.must(404, "system", "GET", "DocumentReference/imported", "")
				}
				if r := k.must(200, "system", "GET", "Patient/ann", ""); strings.Contains(r.body, "photo") {
					t.Errorf("the patch left something: %s", r.body)
				}
			})
		}
		if r := k.must(200, "system", "GET", "Basic?_summary=count", ""); !strings.Contains(r.body, `"total":0`) {
			t.Errorf("what stood beside an attachment in a transaction was kept: %s", r.body)
		}
		k.must(201, "system", "POST", "DocumentReference", document("text/plain", "A note about <b>."))
		k.must(200, "system", "PATCH", "Patient/ann", `[{"op":"add","path":"/photo","value":[`+attachment("image/png", "\x89PNG\r\n\x1a\n")+`]}]`, "Content-Type: application/json-patch+json")
		k.api.o.Store.MaxResource = 100 << 10
		k.must(413, "system", "POST", "Binary", strings.Repeat("x", 120<<10), "Content-Type: text/plain")
	})
}
