package uploads

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strings"
)

// kind is what bytes look like; kinds are bits, so that a type can say which of them it may be.
type kind int

const unknown kind = 0

const (
	program kind = 1 << iota
	page         // HTML, also as XML
	drawing      // SVG, which runs scripts
	tree         // any other XML
	paper        // PDF
	archive      // ZIP, and all that is one: documents of offices
	office       // the older documents of offices
	rich         // RTF
	png
	jpeg
	gif
	tiff
	bmp
	webp
	gzip
	dicom
)

// words are for people.
func (k kind) words() string {
	return map[kind]string{page: "HTML", drawing: "SVG", tree: "XML", paper: "PDF", archive: "ZIP", office: "a document of an office program", rich: "RTF",
		png: "PNG", jpeg: "JPEG", gif: "GIF", tiff: "TIFF", bmp: "BMP", webp: "WebP", gzip: "gzip", dicom: "DICOM"}[k]
}

// taken are the types that attachments may have, and the kinds that their bytes may be recognised as.
var taken = map[string]kind{
	"text/plain": tree, "text/csv": unknown, "text/markdown": unknown, "text/rtf": rich, "text/calendar": unknown, "text/vcard": unknown,
	"text/html": page | tree, "application/xhtml+xml": page | tree, "application/xhtml": page | tree, "text/xml": tree, "application/xml": tree,
	"text/cql": unknown, "text/fhirpath": unknown, "application/sql": unknown, "application/elm+xml": tree, "application/elm+json": unknown,
	"application/json": unknown, "application/fhir+json": unknown, "application/fhir+xml": tree, "application/fhir+ndjson": unknown, "application/ndjson": unknown,
	"application/hl7-v3+xml": tree, "application/hl7-cda+xml": tree, "application/hl7-sda+xml": tree, "application/cda+xml": tree,
	"application/hl7-v2": unknown, "x-application/hl7-v2+er7": unknown, "application/edi-x12": unknown,
	"application/jose": unknown, "application/jwt": unknown, "application/smart-health-card": unknown, "application/x-pem-file": unknown,
	"application/pdf": paper, "application/rtf": rich, "application/msword": office | rich, "application/vnd.ms-excel": office, "application/vnd.ms-powerpoint": office,
	"application/zip": archive, "application/gzip": gzip, "application/dicom": dicom, "application/octet-stream": ^(program | page | drawing),
	"image/png": png, "image/jpeg": jpeg, "image/jpg": jpeg, "image/pjpeg": jpeg, "image/gif": gif, "image/tiff": tiff, "image/bmp": bmp, "image/webp": webp,
	"image/heic": unknown, "image/heif": unknown, "image/avif": unknown, "image/jp2": unknown, "image/jpx": unknown,
}

// typeOf is what a type's bytes may be; ok is false for one that is not taken.
func typeOf(media string) (may kind, ok bool) {
	if may, ok = taken[media]; ok {
		return may, true
	}
	switch {
	case strings.HasPrefix(media, "audio/"), strings.HasPrefix(media, "video/"):
		return unknown, true
	case strings.HasPrefix(media, "application/vnd.openxmlformats-officedocument."), strings.HasPrefix(media, "application/vnd.oasis.opendocument."):
		return archive, true
	}
	return unknown, false
}

const (
	headSize = 4096
	space    = " \t\r\n\f"
)

// kindOf says what bytes look like. What begins like nothing in particular is unknown; that is no judgement.
func kindOf(data []byte) kind {
	head := data[:min(len(data), headSize)]
	if is := binaryKind(data, head); is != unknown {
		return is
	}
	text := head
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) { // UTF-16: what is asked about is ASCII
		text = bytes.ReplaceAll(head[2:], []byte{0}, nil)
	}
	text = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), space)
	for bytes.HasPrefix(text, []byte("<!--")) { // what comes behind it counts
		_, rest, ok := bytes.Cut(text, []byte("-->"))
		if !ok {
			return unknown
		}
		text = bytes.TrimLeft(rest, space)
	}
	switch root := rootOf(text); {
	case root == "svg":
		return drawing
	case root == "html", strings.HasPrefix(http.DetectContentType(text), "text/html"):
		return page
	case bytes.HasPrefix(text, []byte("<?xml")):
		return tree
	}
	return unknown
}

func binaryKind(data, head []byte) kind {
	has := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case has("\x7fELF"), has("\xfe\xed\xfa\xce"), has("\xfe\xed\xfa\xcf"), has("\xce\xfa\xed\xfe"), has("\xcf\xfa\xed\xfe"), has("\xca\xfe\xba\xbe"), has("\x00asm"), has("dex\n03"):
		return program
	case has("MZ") && bytes.IndexByte(head[:min(len(head), 64)], 0) >= 0: // a text may begin with the two letters, and holds no zero byte
		return program
	case has("%PDF-"):
		return paper
	case has("PK\x03\x04"), has("PK\x05\x06"), has("PK\x07\x08"):
		return archive
	case has("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
		return office
	case has(`{\rtf`):
		return rich
	case has("\x89PNG\r\n\x1a\n"):
		return png
	case has("\xff\xd8\xff"):
		return jpeg
	case has("GIF87a"), has("GIF89a"):
		return gif
	case has("II*\x00"), has("MM\x00*"):
		return tiff
	case has("BM") && len(head) >= 26 && uint64(binary.LittleEndian.Uint32(head[2:])) == uint64(len(data)):
		return bmp
	case has("RIFF") && len(head) >= 12 && string(head[8:12]) == "WEBP":
		return webp
	case has("\x1f\x8b\x08"):
		return gzip
	case len(head) >= 132 && string(head[128:132]) == "DICM":
		return dicom
	}
	return unknown
}

// rootOf is the name of the first element of a text that begins like XML or HTML, without a prefix and in small letters; "" for others.
func rootOf(text []byte) string {
	for len(text) > 1 && text[0] == '<' {
		var end int
		switch {
		case bytes.HasPrefix(text, []byte("<!--")):
			if end = bytes.Index(text, []byte("-->")); end < 0 {
				return ""
			}
			end += 2
		case text[1] == '?', text[1] == '!':
			if end = bytes.IndexByte(text, '>'); end < 0 {
				return ""
			}
			if open := bytes.IndexByte(text[:end], '['); open >= 0 { // a DOCTYPE with declarations of its own
				if end = bytes.Index(text, []byte("]>")); end < 0 {
					return ""
				}
				end++
			}
		default:
			name := strings.ToLower(string(text[1:min(len(text), 40)]))
			if i := strings.IndexFunc(name, func(r rune) bool { return strings.ContainsRune(space+"/>", r) }); i >= 0 {
				name = name[:i]
			}
			return name[strings.IndexByte(name, ':')+1:]
		}
		text = bytes.TrimLeft(text[end+1:], space)
	}
	return ""
}

// twofold tells a file of one kind that is another too: a picture or a paper with an archive at its end, which is read from there, or a
// picture or an archive with a paper in its first kilobyte, which readers look through.
func twofold(is kind, data []byte) bool {
	if is&(png|jpeg|gif|tiff|bmp|webp|paper) != 0 && endsAsArchive(data) {
		return true
	}
	return is&(png|jpeg|gif|tiff|bmp|webp|archive) != 0 && bytes.Contains(data[:min(len(data), 1024)], []byte("%PDF-"))
}

// endsAsArchive says whether the last bytes are the end record of a ZIP (APPNOTE 6.3, section 4.3.16), whose comment ends with the file.
func endsAsArchive(data []byte) bool {
	const record = 22
	for at, last := len(data)-record, max(0, len(data)-record-1<<16); at >= last; at-- {
		if string(data[at:at+4]) == "PK\x05\x06" && at+record+int(binary.LittleEndian.Uint16(data[at+20:])) == len(data) {
			return true
		}
	}
	return false
}
