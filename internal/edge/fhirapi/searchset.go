package fhirapi

import (
	"strconv"

	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// bundle writes a page as a searchset. Resources go in as they are stored.
func (f *finding) bundle(c *Call) []byte {
	size := 512
	for _, r := range f.page.Resources {
		size += len(r.Raw) + 256
	}
	for _, r := range f.page.Included {
		size += len(r.Raw) + 256
	}
	b := newBundle("searchset", size)
	if f.page.Total >= 0 {
		b.total(f.page.Total)
	}
	b.link("self", c.Base+"/"+f.self)
	if f.next != "" {
		b.link("next", c.Base+"/"+f.next)
	}
	for _, r := range f.page.Resources {
		f.entry(b, c, r, "match")
	}
	for _, r := range f.page.Included {
		f.entry(b, c, r, "include")
	}
	if len(f.hints) > 0 {
		b.entry()
		b.raw(`"resource":`).bytes(fhir.Outcome(f.hints...)).raw(`,"search":{"mode":"outcome"}}`)
	}
	return b.done()
}

func (f *finding) entry(b *bundleWriter, c *Call, r *fhirstore.Resource, mode string) {
	raw, err := f.narrow(r)
	if err != nil {
		raw = r.Raw // what the store wrote parses; if it did not, the whole is as much as was asked for
	}
	b.entry()
	b.raw(`"fullUrl":`).text(c.Base + "/" + r.Type + "/" + r.ID).raw(`,"resource":`).bytes(raw)
	b.raw(`,"search":{"mode":"` + mode + `"}}`)
}

// bundleWriter writes a Bundle from front to back.
type bundleWriter struct {
	b              []byte
	links, entries int
}

func newBundle(kind string, size int) *bundleWriter {
	w := &bundleWriter{b: make([]byte, 0, size)}
	return w.raw(`{"resourceType":"Bundle","type":"` + kind + `"`)
}

func (w *bundleWriter) raw(s string) *bundleWriter {
	w.b = append(w.b, s...)
	return w
}

func (w *bundleWriter) bytes(s []byte) *bundleWriter {
	w.b = append(w.b, s...)
	return w
}

func (w *bundleWriter) text(s string) *bundleWriter {
	w.b = fhirjson.AppendString(w.b, s)
	return w
}

func (w *bundleWriter) total(n int) { w.raw(`,"total":` + strconv.Itoa(n)) }

// link adds a link; links come before entries.
func (w *bundleWriter) link(relation, url string) {
	if w.links++; w.links == 1 {
		w.raw(`,"link":[`)
	} else {
		w.raw(`,`)
	}
	w.raw(`{"relation":"` + relation + `","url":`).text(url).raw(`}`)
}

// entry begins an entry, which the caller closes.
func (w *bundleWriter) entry() {
	if w.entries++; w.entries == 1 {
		if w.links > 0 {
			w.raw(`]`)
		}
		w.raw(`,"entry":[{`)
	} else {
		w.raw(`,{`)
	}
}

func (w *bundleWriter) done() []byte {
	switch {
	case w.entries > 0, w.links > 0:
		w.raw(`]`)
	}
	return append(w.b, '}')
}
