package breakin_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf16"
)

// trap is a server of the attacker's: a request to it means that the program fetched what a body named.
func trap(t *testing.T) (address string, hits *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hits = new(atomic.Int64)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		fmt.Fprint(w, `<!ENTITY taken "taken">`)
	}), ReadHeaderTimeout: time.Second}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String(), hits
}

// T-22. XML that names something outside itself is refused, and nothing is fetched or opened for it.
func TestXMLStaysInside(t *testing.T) {
	h := onSQLite(t)
	token := h.token("willow")
	outside, hits := trap(t)
	patient := func(inside string) string {
		return `<Patient xmlns="http://hl7.org/fhir"><name><family value="Heron"/>` + inside + `</name></Patient>`
	}
	laughs := `<!DOCTYPE a [<!ENTITY l0 "ha">`
	for i := 1; i < 12; i++ {
		laughs += fmt.Sprintf(`<!ENTITY l%d "%s">`, i, strings.Repeat(fmt.Sprintf("&l%d;", i-1), 10))
	}
	wide := func(s string, order binary.AppendByteOrder, bom bool) string {
		var b []byte
		if bom {
			b = order.AppendUint16(b, 0xFEFF)
		}
		for _, u := range utf16.Encode([]rune(s)) {
			b = order.AppendUint16(b, u)
		}
		return string(b)
	}
	evil := `<!DOCTYPE Patient [<!ENTITY x SYSTEM "` + outside + `/x">]>` + patient(`<given value="&x;"/>`)
	for name, body := range map[string]string{
		"a file":                      `<!DOCTYPE Patient [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + patient(`<given value="&x;"/>`),
		"an address":                  evil,
		"a public identifier":         `<!DOCTYPE Patient PUBLIC "-//W3C//DTD XHTML 1.0//EN" "` + outside + `/dtd">` + patient(""),
		"a document type elsewhere":   `<!DOCTYPE Patient SYSTEM "` + outside + `/dtd">` + patient(""),
		"a parameter entity":          `<!DOCTYPE Patient [<!ENTITY % p SYSTEM "` + outside + `/p"> %p;]>` + patient(`<given value="&taken;"/>`),
		"an empty document type":      `<!DOCTYPE Patient>` + patient(""),
		"a document type in lower":    `<!doctype Patient [<!ENTITY x "y">]>` + patient(""),
		"a document type later":       `<?xml version="1.0"?><!-- --><!DOCTYPE Patient [<!ENTITY x "y">]>` + patient(""),
		"entities of entities":        laughs + `]>` + patient(`<given value="&l11;"/>`),
		"an entity nobody declared":   patient(`<given value="&x;"/>`),
		"an attribute's default":      `<!DOCTYPE Patient [<!ATTLIST given value CDATA "` + strings.Repeat("x", 10000) + `">]>` + patient("<given/>"),
		"XInclude":                    `<Patient xmlns="http://hl7.org/fhir" xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd" parse="text"/></Patient>`,
		"XInclude in a narrative":     `<Patient xmlns="http://hl7.org/fhir"><text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="` + outside + `/i"/></div></text></Patient>`,
		"a DOCTYPE in a narrative":    `<Patient xmlns="http://hl7.org/fhir"><text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><!DOCTYPE x [<!ENTITY y SYSTEM "` + outside + `/n">]>&y;</div></text></Patient>`,
		"no namespace":                `<Patient><name><family value="Heron"/></name></Patient>`,
		"another namespace":           `<Patient xmlns="urn:other"><name><family value="Heron"/></name></Patient>`,
		"a namespace within":          `<Patient xmlns="http://hl7.org/fhir"><name xmlns="urn:other"><family value="Heron"/></name></Patient>`,
		"UTF-16, little end first":    wide(evil, binary.LittleEndian, true),
		"UTF-16, big end first":       wide(evil, binary.BigEndian, true),
		"UTF-16 without a mark":       wide(`<?xml version="1.0" encoding="UTF-16"?>`+evil, binary.LittleEndian, false),
		"UTF-7":                       `<?xml version="1.0" encoding="UTF-7"?>` + strings.NewReplacer("<", "+ADw-", ">", "+AD4-").Replace(evil),
		"Latin-1":                     `<?xml version="1.0" encoding="ISO-8859-1"?>` + patient("<given value=\"Ren\xe9\"/>"),
		"two documents":               patient("") + patient(""),
		"cut":                         patient("")[:40],
		"a million elements deep":     `<Patient xmlns="http://hl7.org/fhir">` + strings.Repeat(`<extension url="u">`, 1_000_000/19),
		"attributes without number":   `<Patient xmlns="http://hl7.org/fhir"><active value="true" ` + strings.Repeat(`a="b" `, 20_000) + `/></Patient>`,
		"an attribute twice":          `<Patient xmlns="http://hl7.org/fhir"><active value="true" value="false"/></Patient>`,
		"a character that may not be": `<Patient xmlns="http://hl7.org/fhir"><language value="&#0;"/></Patient>`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/Patient", "/Patient/$validate"} {
				a := h.fhir(token, "POST", path, body, "Content-Type", "application/fhir+xml", "Accept", "application/fhir+json")
				fine := a.status >= 400 && a.status < 500 || path == "/Patient/$validate" && a.status == 200 && strings.Contains(a.body, `"severity":"error"`)
				if !fine || a.took > 5*time.Second || strings.Contains(a.body, "root:") || strings.Contains(a.body, "hahaha") {
					t.Errorf("%s: %d after %v %s %v", path, a.status, a.took, a.text(), a.err)
				}
			}
		})
	}
	// What XML may hold, but must not be followed.
	for _, head := range []string{`<?xml-stylesheet type="text/xsl" href="` + outside + `/s.xsl"?>`, `<?import href="` + outside + `/"?>`} {
		if a := h.fhir(token, "POST", "/Patient", head+patient(""), "Content-Type", "application/fhir+xml"); a.status >= 500 || strings.Contains(a.body, "stylesheet") && a.status < 300 {
			t.Errorf("%d %s", a.status, a.text())
		}
	}
	for _, div := range []string{`<div xmlns='http://www.w3.org/1999/xhtml'><img src='` + outside + `/img'/>x</div>`, `<!DOCTYPE div [<!ENTITY y SYSTEM '` + outside + `'>]><div xmlns='http://www.w3.org/1999/xhtml'>&y;</div>`} {
		if a := h.fhir(token, "POST", "/Patient", `{"resourceType":"Patient","text":{"status":"generated","div":"`+div+`"}}`); a.status >= 500 {
			t.Errorf("%d %s", a.status, a.text())
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d requests left the server", n)
	}
}

// T-25. One reading of a body: what other parsers might read differently is refused, and what is kept comes back as it was.
func TestJSONHasOneReading(t *testing.T) {
	h := onSQLite(t)
	token := h.token("willow")
	for name, body := range map[string]string{
		"a name twice":           `{"resourceType":"Patient","gender":"male","gender":"female"}`,
		"a type twice":           `{"resourceType":"Patient","resourceType":"Observation"}`,
		"a name in other case":   `{"resourceType":"Patient","RESOURCETYPE":"Observation"}`,
		"an escaped name twice":  `{"resourceType":"Patient","gender":"male","\u0067ender":"female"}`,
		"names of prototypes":    `{"resourceType":"Patient","__proto__":{"active":true}}`,
		"a constructor":          `{"resourceType":"Patient","constructor":{"prototype":{"x":1}}}`,
		"a byte order mark":      "\xef\xbb\xbf" + `{"resourceType":"Patient","gender":1}`,
		"no UTF-8":               "{\"resourceType\":\"Patient\",\"language\":\"\xff\xfe\"}",
		"overlong UTF-8":         "{\"resourceType\":\"Patient\",\"language\":\"\xc0\xaf\"}",
		"a lone surrogate":       `{"resourceType":"Patient","name":[{"family":"\ud800"}]}`,
		"surrogates swapped":     `{"resourceType":"Patient","name":[{"family":"\udc00\ud800"}]}`,
		"a character of nothing": `{"resourceType":"Patient","name":[{"family":"a\u0000b"}]}`,
		"a bare control":         "{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"a\x01b\"}]}",
		"text after the end":     `{"resourceType":"Patient"} {"resourceType":"Patient"}`,
		"a comment":              `{"resourceType":"Patient"/* hidden */}`,
		"a comma too many":       `{"resourceType":"Patient",}`,
		"single quotes":          `{'resourceType':'Patient'}`,
		"not a number":           `{"resourceType":"Patient","multipleBirthInteger":NaN}`,
		"a huge exponent":        `{"resourceType":"Patient","multipleBirthInteger":1e400}`,
		"a huge number":          `{"resourceType":"Patient","multipleBirthInteger":` + strings.Repeat("9", 5000) + `}`,
		"a zero before":          `{"resourceType":"Patient","multipleBirthInteger":01}`,
		"a number as text":       `{"resourceType":"Patient","multipleBirthInteger":"1"}`,
		"a list for one":         `{"resourceType":"Patient","gender":["male"]}`,
		"one for a list":         `{"resourceType":"Patient","name":{"family":"x"}}`,
		"null":                   `{"resourceType":"Patient","gender":null}`,
		"an empty object":        `{"resourceType":"Patient","name":[{}]}`,
		"a list":                 `[{"resourceType":"Patient"}]`,
		"a leap second":          `{"resourceType":"Patient","deceasedDateTime":"2016-12-31T23:59:61Z"}`,
		"a day that is none":     `{"resourceType":"Patient","birthDate":"2023-02-29"}`,
		"arrays 1e5 deep":        strings.Repeat("[", 100_000),
		"objects 1e5 deep":       `{"resourceType":"Patient","extension":` + strings.Repeat(`[{"url":"u","extension":`, 100_000),
		"closed 1e5 deep":        `{"resourceType":"Patient","x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/Patient", "/Patient/$validate"} {
				a := h.fhir(token, "POST", path, body)
				fine := a.status >= 400 && a.status < 500 || path != "/Patient" && a.status == 200 && strings.Contains(a.body, `"error"`)
				if !fine || a.took > 5*time.Second {
					t.Errorf("%s: %d after %v %s %v", path, a.status, a.took, a.text(), a.err)
				}
			}
		})
	}
	id := h.put(token, `{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.10},"component":[{"code":{"text":"y"},"valueQuantity":{"value":-0.0}},{"code":{"text":"z"},"valueQuantity":{"value":0.12345678901234567890}}],"note":[{"text":"\u202e\u0130\ud83d\ude00 __proto__ </script>"}]}`)
	a := h.fhir(token, "GET", "/Observation/"+id, "")
	for _, kept := range []string{`"value":1.10`, `"value":-0.0`, `0.12345678901234567890`} {
		if !strings.Contains(a.body, kept) {
			t.Errorf("%s is not kept: %s", kept, a.text())
		}
	}
}

// raw speaks to the server without a client's help, and gives the first line of what it answers.
func (h *house) raw(wait time.Duration, parts ...string) (got string, took time.Duration) {
	h.t.Helper()
	c, err := net.Dial("tcp", h.at)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	_ = c.SetDeadline(began.Add(wait))
	for _, p := range parts {
		if _, err := io.WriteString(c, p); err != nil {
			break
		}
	}
	got, _ = bufio.NewReader(c).ReadString('\n')
	return got, time.Since(began)
}

// T-24. Sizes that lie, bodies that never end, and callers who take their time.
func TestBodiesEnd(t *testing.T) {
	h := onSQLite(t)
	token := h.token("willow")
	head := func(more ...string) string {
		return "POST /willow/fhir/Patient HTTP/1.1\r\nHost: " + h.at + "\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/fhir+json\r\n" + strings.Join(more, "\r\n") + "\r\n\r\n"
	}
	const patient = `{"resourceType":"Patient","name":[{"family":"Smuggled"}]}`
	for _, c := range []struct {
		name  string
		parts []string
		want  string // in the first line
	}{
		{"4 GB announced", []string{head("Content-Length: 4294967296")}, " 413"},
		{"more than a number holds", []string{head("Content-Length: 99999999999999999999")}, " 400"},
		{"less than nothing", []string{head("Content-Length: -1")}, " 400"},
		{"two lengths", []string{head("Content-Length: 5", "Content-Length: 57"), patient}, " 400"},
		{"a length and chunks", []string{head("Content-Length: 5", "Transfer-Encoding: chunked"), "0\r\n\r\n"}, " 400"},
		{"chunks named oddly", []string{head("Transfer-Encoding: xchunked"), patient}, " 501"},
		{"chunks named twice", []string{head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "0\r\n\r\n"}, " 501"},
		{"a space before the colon", []string{head("Transfer-Encoding : chunked"), "0\r\n\r\n"}, " 400"},
		{"a folded header", []string{head("X-A: b\r\n c: d", "Content-Length: 2"), "{}"}, " 400"},
		{"a size of a chunk that is none", []string{head("Transfer-Encoding: chunked"), "ffffffffffffffffff\r\n" + patient}, " 400"},
		{"headers without end", []string{"GET /willow/fhir/metadata HTTP/1.1\r\nHost: " + h.at + "\r\n" + strings.Repeat("X-A: "+strings.Repeat("b", 1000)+"\r\n", 60) + "\r\n"}, " 431"},
		{"no host", []string{"GET /willow/fhir/metadata HTTP/1.1\r\n\r\n"}, " 400"},
	} {
		line, took := h.raw(8*time.Second, c.parts...)
		if !strings.Contains(line, c.want) || took > 8*time.Second {
			t.Errorf("%s: %q after %v, not %s", c.name, line, took, c.want)
		}
	}
	t.Run("a body cut short", func(t *testing.T) {
		c, err := net.Dial("tcp", h.at)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, head("Content-Length: 570")+patient)
		_ = c.(*net.TCPConn).CloseWrite()
		line, _ := bufio.NewReader(c).ReadString('\n')
		c.Close()
		if strings.Contains(line, " 20") {
			t.Errorf("half a body is taken: %q", line)
		}
	})
	t.Run("a body without end", func(t *testing.T) {
		endless, stop := io.Pipe()
		go func() {
			_, _ = io.WriteString(stop, `{"resourceType":"Patient","name":[{"family":"`)
			for b := bytes.Repeat([]byte("a"), 1<<16); ; {
				if _, err := stop.Write(b); err != nil {
					return
				}
			}
		}()
		r, _ := http.NewRequest("POST", "http://"+h.at+"/willow/fhir/Patient", endless)
		a := h.send(r, "Authorization", "Bearer "+token, "Content-Type", "application/fhir+json")
		endless.Close()
		if a.err == nil && a.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%d %s", a.status, a.text())
		}
		if a.took > 15*time.Second {
			t.Errorf("after %v", a.took)
		}
	})
	t.Run("strangers send nothing large", func(t *testing.T) {
		large := strings.Repeat("a", 20<<20)
		for path, token := range map[string]string{"/willow/fhir/Patient": "nothing", "/willow/fhir": "nothing", "/willow/oauth/token": "", "/willow/sign-in": ""} {
			if a := h.ask("POST", path, large, "Authorization", "Bearer "+token, "Content-Type", "application/fhir+json"); a.err == nil && (a.status < 400 || a.status >= 500) {
				t.Errorf("%s: %d %s", path, a.status, a.text())
			}
		}
	})
	t.Run("a text of a whole body", func(t *testing.T) {
		if a := h.fhir(token, "POST", "/Patient", `{"resourceType":"Patient","name":[{"family":"`+strings.Repeat("a", 20<<20)+`"}]}`); a.status < 400 || a.status >= 500 {
			t.Errorf("%d %s", a.status, a.text())
		}
	})
	t.Run("a hundred thousand entries", func(t *testing.T) {
		body := `{"resourceType":"Bundle","type":"transaction","entry":[` + strings.Repeat(`{"request":{"method":"GET","url":"Patient?name=x"}},`, 100_000) + `{}]}`
		if a := h.fhir(token, "POST", "", body); a.status < 400 || a.status >= 500 {
			t.Errorf("%d after %v %s", a.status, a.took, a.text())
		}
	})
	t.Run("an address without end", func(t *testing.T) {
		for _, q := range []string{strings.Repeat("name=a&", 3000), "name=" + strings.Repeat("a,", 10_000), "_include=" + strings.Repeat("Patient:link&_include=", 900), strings.Repeat("_has:Patient:link:", 800) + "name=a", strings.Repeat("link.", 1500) + "name=a"} {
			if a := h.fhir(token, "GET", "/Patient?"+q, ""); a.err != nil || a.status >= 500 || a.took > 10*time.Second {
				t.Errorf("%.40s: %d after %v %s %v", q, a.status, a.took, a.text(), a.err)
			}
		}
	})
	t.Run("headers that come slowly", func(t *testing.T) {
		began := time.Now()
		c, err := net.Dial("tcp", h.at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\n", h.at)
		_ = c.SetReadDeadline(began.Add(15 * time.Second))
		if b, err := io.ReadAll(c); err != nil {
			t.Errorf("after %v the connection is still open: %q %v", time.Since(began), b, err)
		}
	})
	if a := h.fhir(token, "GET", "/Patient?_summary=count", ""); a.status != 200 || !strings.Contains(a.body, `"total":0`) {
		t.Errorf("something was stored: %s", a.text())
	}
	h.bounded(t, 900)
}

// bounded says how much memory the server took at most, and fails above a number of megabytes.
func (h *house) bounded(t *testing.T, mb int) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.pid))
	if err != nil {
		t.Logf("the memory of the server is not seen here: %v", err)
		return
	}
	var kb int
	_, rest, _ := strings.Cut(string(raw), "VmHWM:")
	_, _ = fmt.Sscan(rest, &kb)
	t.Logf("the server took %d MB at most", kb>>10)
	if kb>>10 > mb {
		t.Errorf("the server took %d MB", kb>>10)
	}
}

// T-23. Packed input is judged as it grows, and names in archives lead nowhere.
func TestPackedInput(t *testing.T) {
	h := onSQLite(t)
	token := h.token("willow")
	pack := func(write func(w io.Writer)) string {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		write(z)
		z.Close()
		return b.String()
	}
	mega := bytes.Repeat([]byte("a"), 1<<20)
	bomb := func(w io.Writer) {
		_, _ = io.WriteString(w, `{"resourceType":"Patient","name":[{"family":"`)
		for range 300 {
			_, _ = w.Write(mega)
		}
	}
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd", "gzip, gzip"} {
		if a := h.fhir(token, "POST", "/Patient", pack(bomb), "Content-Encoding", encoding); a.status != http.StatusUnsupportedMediaType && a.status != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %d %s", encoding, a.status, a.text())
		}
	}
	file := filepath.Join(h.dir, "bomb.ndjson.gz")
	if err := os.WriteFile(file, []byte(pack(bomb)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := func(t *testing.T, args ...string) {
		t.Helper()
		began := time.Now()
		cmd := h.command(args...)
		out, err := cmd.CombinedOutput()
		if err == nil || bytes.Contains(out, []byte("goroutine ")) || time.Since(began) > 30*time.Second {
			t.Errorf("%v after %v: %v %.500s", args[:2], time.Since(began), err, out)
		}
	}
	refused(t, "import", "fhir", "--practice", "willow", file)

	type entry struct {
		name, link string
		kind       byte
		body       func(w io.Writer)
		size       int64
	}
	archive := func(entries ...entry) string {
		return pack(func(w io.Writer) {
			a := tar.NewWriter(w)
			for _, e := range entries {
				_ = a.WriteHeader(&tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: 0o644, Size: e.size})
				if e.body != nil {
					e.body(a)
				}
			}
			a.Close()
		})
	}
	text := func(s string) (func(io.Writer), int64) {
		return func(w io.Writer) { _, _ = io.WriteString(w, s) }, int64(len(s))
	}
	manifest, size := text(`{"name":"evil.guide","version":"1.0.0","fhirVersions":["4.0.1"]}`)
	profile, psize := text(`{"resourceType":"StructureDefinition","url":"http://example.org/x"}`)
	first := entry{"package/package.json", "", tar.TypeReg, manifest, size}
	many := []entry{first}
	for i := range 60_000 {
		many = append(many, entry{name: fmt.Sprintf("package/%d.json", i), kind: tar.TypeReg, body: profile, size: psize})
	}
	big := func(w io.Writer) {
		for range 400 {
			_, _ = w.Write(mega)
		}
	}
	away := filepath.Join(h.dir, "fallen.json")
	for name, packed := range map[string]string{
		"a file of 400 MB":     archive(first, entry{"package/a.json", "", tar.TypeReg, big, 400 << 20}),
		"too many files":       archive(many...),
		"a path upwards":       archive(first, entry{"package/../../../../" + away, "", tar.TypeReg, profile, psize}),
		"a path from the root": archive(first, entry{away, "", tar.TypeReg, profile, psize}),
		"a link":               archive(first, entry{"package/a.json", "/etc/passwd", tar.TypeSymlink, nil, 0}),
		"a hard link":          archive(first, entry{"package/a.json", "/etc/passwd", tar.TypeLink, nil, 0}),
		"a device":             archive(first, entry{"package/a.json", "", tar.TypeChar, nil, 0}),
		"gzip in gzip":         pack(func(w io.Writer) { _, _ = io.WriteString(w, pack(bomb)) }),
		"a tail of 300 MB":     archive(first) + pack(bomb),
		"nothing":              archive(),
		"half":                 archive(first, entry{"package/b.json", "", tar.TypeReg, profile, psize})[:60],
	} {
		t.Run(name, func(t *testing.T) {
			f := filepath.Join(h.dir, "guide.tgz")
			if err := os.WriteFile(f, []byte(packed), 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, "import", "guide", "--practice", "willow", f)
			if _, err := os.Stat(away); err == nil {
				t.Error("a file fell out of the archive")
			}
		})
	}
	h.bounded(t, 500)
}
