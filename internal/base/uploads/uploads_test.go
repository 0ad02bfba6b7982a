package uploads

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

const (
	pngBytes  = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
	zipBytes  = "PK\x03\x04\x14\x00\x00\x00\x00\x00"
	zipEnd    = "PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00\x2e\x00\x00\x00\x1c\x00\x00\x00\x00\x00"
	exeBytes  = "MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00"
	eicarFile = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-` + `ANTIVIRUS-TEST-FILE!$H+H*`
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, media, data, says string // says: "" is taken
	}{
		{"a note", "text/plain; charset=utf-8", "MZ is a man of 40. <b>Well</b>.", ""},
		{"a note about two numbers", "text/plain", "a < b, and #!/bin/sh", ""},
		{"a page", "text/html", "<!DOCTYPE html><p>Note</p>", ""},
		{"a page of XHTML", "application/xhtml+xml", `<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>`, ""},
		{"a CDA document", "text/xml", `<?xml version="1.0"?><?xml-stylesheet href="CDA.xsl"?><ClinicalDocument/>`, ""},
		{"a paper", "application/pdf", "%PDF-1.7\n", ""},
		{"a paper of which nothing can be told", "application/pdf", "...", ""},
		{"a picture", "image/png", pngBytes, ""},
		{"a document of an office", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", zipBytes + zipEnd, ""},
		{"a recording", "audio/mpeg", "ID3\x04", ""},
		{"bytes", "application/octet-stream", "\x00\x01\x02", ""},
		{"bytes without a type", "", "\x00\x01\x02", ""},
		{"nothing", "text/plain", "", ""},

		{"SVG", "image/svg+xml", "<svg/>", "not taken"},
		{"a script", "text/javascript", "alert(1)", "not taken"},
		{"a program", "application/x-msdownload", exeBytes, "not taken"},
		{"a type nobody knows", "x/y", "x", "not taken"},
		{"no type at all", "nonsense", "x", "not taken"},
		{"a type that breaks lines", "text/plain; x=\"\r\nSet-Cookie: a=b\"", "x", "not taken"},
		{"a page as a picture", "image/png", "<html><script>alert(1)</script>", "HTML"},
		{"a page as a note", "text/plain", " \n<!-- x --><!DOCTYPE html><script>", "HTML"},
		{"a page in UTF-16", "text/plain", "\xff\xfe<\x00s\x00c\x00r\x00i\x00p\x00t\x00>\x00", "HTML"},
		{"a page behind a mark", "image/gif", "\xef\xbb\xbf<SCRIPT>alert(1)</SCRIPT>", "HTML"},
		{"a page as XML", "text/xml", `<?xml version="1.0"?><h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:script/></h:html>`, "HTML"},
		{"a page as bytes", "application/octet-stream", "<html>", "HTML"},
		{"SVG as XML", "application/xml", "<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a \">\">]><svg onload=\"alert(1)\"/>", "SVG"},
		{"SVG as a picture", "image/png", "<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "SVG"},
		{"SVG with a prefix", "text/plain", "<!-- a --><s:svg xmlns:s=\"http://www.w3.org/2000/svg\"/>", "SVG"},
		{"an archive as a paper", "application/pdf", zipBytes, "ZIP"},
		{"a program as a picture", "image/png", exeBytes, "is a program"},
		{"a program as bytes", "application/octet-stream", "\x7fELF\x02\x01", "is a program"},
		{"a program as a recording", "audio/mpeg", exeBytes, "is a program"},
		{"a program of Java", "application/zip", "\xca\xfe\xba\xbe\x00\x00", "is a program"},
		{"a picture that is an archive", "image/gif", "GIF89a\x01\x00" + zipBytes + "x" + zipEnd, "two kinds"},
		{"a paper that is an archive", "application/pdf", "%PDF-1.7\n" + zipBytes + "x" + zipEnd, "two kinds"},
		{"a picture that is a paper", "image/jpeg", "\xff\xd8\xff\xfe\x00\x40%PDF-1.4\n", "two kinds"},
		{"an archive that is a paper", "application/zip", zipBytes + "%PDF-1.4\n", "two kinds"},
	} {
		said := ""
		if issue := Check(c.media, []byte(c.data)); issue != nil {
			said = issue.Text
		}
		if (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
			t.Errorf("%s: %q, not %q", c.name, said, c.says)
		}
		if strings.ContainsAny(said, "\r\n") {
			t.Errorf("%s: the answer breaks lines: %q", c.name, said)
		}
	}
}

// Whatever comes, something is decided, and a program is never taken.
func TestCheckDecidesEverything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		media := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"text/plain", "application/octet-stream", "image/png", "application/pdf"})).Draw(rt, "media")
		data := rapid.SliceOf(rapid.Byte()).Draw(rt, "data")
		begin := rapid.SampledFrom([]string{"", "<", "<!", "<!--", "<?", "PK\x05\x06", "BM", "RIFF", "\xff\xfe", zipEnd[:20]}).Draw(rt, "begin")
		Check(media, append([]byte(begin), data...))
		if Check(media, append([]byte(exeBytes), data...)) == nil {
			rt.Fatal("a program is taken as", media)
		}
	})
}

func resource(t *testing.T, text string) *fhirjson.Node {
	t.Helper()
	n, err := fhirjson.Parse([]byte(text), fhirjson.Limits{Bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Attachments are found wherever they are; what is no attachment is left alone.
func TestLook(t *testing.T) {
	bad := `"contentType":"image/png","data":"` + base64.StdEncoding.EncodeToString([]byte("<svg/>")) + `"`
	for text, path := range map[string]string{
		`{"resourceType":"Binary",` + bad + `}`:                                                                         "Binary.data",
		`{"resourceType":"Patient","photo":[{"contentType":"text/plain","data":"eA=="},{` + bad + `}]}`:                 "Patient.photo[1].data",
		`{"resourceType":"DocumentReference","content":[{"attachment":{` + bad + `}}]}`:                                 "DocumentReference.content[0].attachment.data",
		`{"resourceType":"Communication","payload":[{"contentAttachment":{` + bad + `}}]}`:                              "Communication.payload[0].contentAttachment.data",
		`{"resourceType":"Basic","contained":[{"resourceType":"Media","content":{` + bad + `}}]}`:                       "Basic.contained[0].content.data",
		`{"resourceType":"Basic","extension":[{"url":"http://x","valueAttachment":{` + bad + `}}]}`:                     "Basic.extension[0].valueAttachment.data",
		`{"resourceType":"Binary","contentType":"text/plain","data":"e A\n= ="}`:                                        "",
		`{"resourceType":"Binary","contentType":"text/plain","data":"e*"}`:                                              "Binary.data",
		`{"resourceType":"Observation","valueSampledData":{"origin":{"value":0},"dimensions":1,"data":"2 4 8"}}`:        "",
		`{"resourceType":"Provenance","signature":[{"who":{"display":"x"},"sigFormat":"image/x","data":"PHN2Zy8+"}]}`:   "",
		`{"resourceType":"DocumentReference","content":[{"attachment":{"contentType":"x/y","url":"https://e.org/f"}}]}`: "",
	} {
		issues := (&Gate{}).Look(t.Context(), resource(t, text))
		if path == "" && len(issues) != 0 || path != "" && (len(issues) != 1 || issues[0].Path != path) {
			t.Errorf("%s: %v", text, issues)
		}
	}
}

// daemon is a clamd: it answers INSTREAM as the real one does.
func daemon(t *testing.T, network, address string, answer func(data []byte) string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				if command, err := r.ReadString(0); err != nil || command != "zINSTREAM\x00" {
					fmt.Fprint(c, "UNKNOWN COMMAND\x00")
					return
				}
				var data bytes.Buffer
				for {
					var size uint32
					if binary.Read(r, binary.BigEndian, &size) != nil {
						return
					}
					if size == 0 {
						break
					}
					if _, err := io.CopyN(&data, r, int64(size)); err != nil {
						return
					}
				}
				fmt.Fprint(c, answer(data.Bytes()))
			}()
		}
	}()
	return l
}

func TestScanner(t *testing.T) {
	big := strings.Repeat("x", 3*scanPiece+1)
	answer := func(data []byte) string {
		switch {
		case bytes.Contains(data, []byte("EICAR")):
			return "stream: Eicar-Signature FOUND\x00"
		case len(data) == len(big):
			return "INSTREAM size limit exceeded. ERROR\x00"
		case string(data) == "hang up":
			return ""
		}
		return "stream: OK\x00"
	}
	socket := filepath.Join(t.TempDir(), "clamd")
	daemon(t, "unix", socket, answer)
	overTCP := daemon(t, "tcp", "127.0.0.1:0", answer).Addr().String()
	for _, address := range []string{"unix:" + socket, "tcp://" + overTCP} {
		s, err := NewScanner(address)
		if err != nil {
			t.Fatal(err)
		}
		g := &Gate{Scanner: s}
		for data, code := range map[string]string{"well": "", "": "", eicarFile: "business-rule", big: "transient", "hang up": "transient"} {
			issues := g.Look(t.Context(), resource(t, `{"resourceType":"Binary","contentType":"text/plain","data":"`+base64.StdEncoding.EncodeToString([]byte(data))+`"}`))
			if code == "" && len(issues) != 0 || code != "" && (len(issues) != 1 || issues[0].Code != code) {
				t.Errorf("%s: %.20q: %v", address, data, issues)
			}
		}
	}
	for _, gone := range []string{"unix:" + socket + "-not", "tcp://127.0.0.1:1"} {
		s, err := NewScanner(gone)
		if err != nil {
			t.Fatal(err)
		}
		if issue := s.scan(t.Context(), []byte("x")); issue == nil || issue.Code != "transient" || fhir.HTTPStatus(issue.Code) != 503 {
			t.Errorf("%s: %v", gone, issue)
		}
	}
	for _, wrong := range []string{"", "clamd", "unix:clamd", "tcp://host", "tcp://host:x", "http://host:3310", "tcp://:3310", "tcp://host:3310/x"} {
		if _, err := NewScanner(wrong); err == nil {
			t.Errorf("%q is an address", wrong)
		}
	}
}
