package fhirapi

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
)

func pack(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	z.Close()
	return b.String()
}

// TestPackedBodies sends bodies packed with gzip: whole ones are read, those made to grow, cut or changed ones are refused.
func TestPackedBodies(t *testing.T) {
	const gz = "Content-Encoding: gzip"
	each(t, func(t *testing.T, k *desk) {
		k.must(201, "system", "PUT", "Patient/ann", pack(ann), gz)
		if r := k.must(200, "system", "GET", "Patient/ann", ""); !strings.Contains(r.body, "Alder") {
			t.Error(r.body)
		}
		k.must(200, "system", "POST", "Patient/_search", pack("family=alder"), gz, "Content-Type: application/x-www-form-urlencoded")
		whole := pack(ann)
		changed := []byte(whole)
		changed[len(changed)-5] ^= 1
		padded := strings.Replace(ann, "{", "{"+strings.Repeat(" ", 8<<20), 1)
		for name, c := range map[string]struct {
			body   string
			status int
			must   string
		}{
			"a bomb":     {pack(padded), 413, "more than 100 times"},
			"too long":   {pack(strings.Repeat("0123456789abcdef"+strings.Repeat("x", 17)+"y", (22<<20)/34)), 413, ""},
			"bomb twice": {pack(pack(padded)), 400, ""},
			"cut":        {whole[:len(whole)-9], 400, "not what Content-Encoding says"},
			"changed":    {string(changed), 400, "not what Content-Encoding says"},
			"nothing":    {pack(""), 400, "no body"},
		} {
			if r := k.ask("system", "POST", "Patient", c.body, gz); r.status != c.status || !strings.Contains(r.body, c.must) {
				t.Errorf("%s: %d %.300s", name, r.status, r.body)
			}
		}
	})
}
