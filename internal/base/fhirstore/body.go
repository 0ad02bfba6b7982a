package fhirstore

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// A body on disk is keys.Seal of:
//
//	id       one byte n, then n bytes of text; n = 0: a UUID in lower case as 16 bytes
//	meta     uvarint length of what meta holds beside versionId and lastUpdated
//	content  zcodec form of that meta part and of the members after resourceType, id and meta
//
// The type is in the row, version and time are put back from the row, and all of them are bound to the
// body by the AAD, so that a row pieced together from others does not open.

// errDamaged marks a body that does not open or does not decode.
var errDamaged = errors.New("fhirstore: the stored body does not open: its bytes or its row were changed")

// bodyRow is what a body is bound to.
type bodyRow struct {
	practice db.PracticeID
	typ      int16
	idh      int64
	version  int64
	seq      int64
	labels   int64
	deleted  bool
}

func (r bodyRow) aad() []byte {
	b := make([]byte, 0, 48)
	b = binary.BigEndian.AppendUint64(b, uint64(r.practice))
	b = binary.BigEndian.AppendUint16(b, uint16(r.typ))
	b = binary.BigEndian.AppendUint64(b, uint64(r.idh))
	b = binary.BigEndian.AppendUint64(b, uint64(r.version))
	b = binary.BigEndian.AppendUint64(b, uint64(r.seq))
	b = binary.BigEndian.AppendUint64(b, uint64(r.labels))
	if r.deleted {
		return append(b, 1)
	}
	return append(b, 0)
}

// splitBody takes a resource apart. The node must have its resourceType and id.
func splitBody(typ, id string, n *fhirjson.Node) *decoded {
	content := make([]byte, 0, 1024)
	for i, m := range n.Get("meta").Members() {
		if m.Name == "versionId" || m.Name == "lastUpdated" {
			continue
		}
		if len(content) > 0 {
			content = append(content, ',')
		}
		content = appendMember(content, &n.Get("meta").Members()[i])
	}
	meta := len(content)
	for i := range n.Members() {
		m := &n.Members()[i]
		switch m.Name {
		case "resourceType", "id", "meta":
			continue
		}
		content = append(content, ',')
		content = appendMember(content, m)
	}
	return &decoded{typ: typ, id: id, meta: meta, content: content}
}

// pack gives the plain form above.
func (d *decoded) pack(z *zcodec) ([]byte, error) {
	dst := appendID(make([]byte, 0, 256), d.id)
	dst = binary.AppendUvarint(dst, uint64(d.meta))
	return z.compress(dst, typeCode(d.typ), d.content)
}

// same says whether two bodies have the same content.
func (d *decoded) same(o *decoded) bool {
	return d.meta == o.meta && string(d.content) == string(o.content)
}

func appendMember(dst []byte, m *fhirjson.Member) []byte {
	dst = fhirjson.AppendString(dst, m.Name)
	dst = append(dst, ':')
	return m.Value.AppendJSON(dst)
}

// tombstone is the body of a deleted version: only the id.
func tombstone(id string) []byte {
	return append(appendID(nil, id), 0, dictRaw)
}

func appendID(dst []byte, id string) []byte {
	if u, ok := uuidBytes(id); ok {
		return append(append(dst, 0), u[:]...)
	}
	return append(append(dst, byte(len(id))), id...)
}

func cutID(b []byte) (id string, rest []byte, ok bool) {
	if len(b) == 0 {
		return "", nil, false
	}
	n := int(b[0])
	if n == 0 {
		if len(b) < 17 {
			return "", nil, false
		}
		return uuidText([16]byte(b[1:17])), b[17:], true
	}
	if len(b) < 1+n {
		return "", nil, false
	}
	return string(b[1 : 1+n]), b[1+n:], true
}

// decoded is an opened body before version and time are put back. It is what the body cache holds.
type decoded struct {
	typ, id string
	meta    int    // length of the meta part
	content []byte // meta part, then the other members

	starts atomic.Pointer[[]uint32] // see member
}

func (d *decoded) size() int { return len(d.content) + len(d.id) + 192 }

// openBody opens, checks and expands a sealed body. Any failure is errDamaged.
func openBody(z *zcodec, k *keys.Practice, row bodyRow, sealed []byte) (*decoded, error) {
	plain, err := k.Open(nil, sealed, row.aad())
	if err != nil {
		return nil, errDamaged
	}
	id, rest, ok := cutID(plain)
	if !ok {
		return nil, errDamaged
	}
	meta, n := binary.Uvarint(rest)
	if n <= 0 {
		return nil, errDamaged
	}
	content, err := z.expand(nil, rest[n:])
	if err != nil || uint64(len(content)) < meta {
		return nil, errors.Join(errDamaged, err)
	}
	typ := typeName(row.typ)
	if typ == "" || keyspaceOf(k).id(typ, id) != row.idh {
		return nil, errDamaged
	}
	return &decoded{typ: typ, id: id, meta: int(meta), content: content}, nil
}

// raw puts the resource together again, with its version and time in meta.
func (d *decoded) raw(version, seq int64) []byte {
	dst := make([]byte, 0, len(d.content)+len(d.id)+128)
	dst = append(dst, `{"resourceType":"`...)
	dst = append(dst, d.typ...)
	dst = append(dst, `","id":"`...)
	dst = append(dst, d.id...)
	dst = append(dst, `","meta":{"versionId":"`...)
	dst = strconv.AppendInt(dst, version, 10)
	dst = append(dst, `","lastUpdated":"`...)
	dst = time.UnixMicro(seq).UTC().AppendFormat(dst, instantForm)
	dst = append(dst, '"')
	if d.meta > 0 {
		dst = append(dst, ',')
		dst = append(dst, d.content[:d.meta]...)
	}
	dst = append(dst, '}')
	dst = append(dst, d.content[d.meta:]...)
	return append(dst, '}')
}

const instantForm = "2006-01-02T15:04:05.000000Z07:00"

// damagedIssue is what a reader is told. It names the resource, not its content.
func damagedIssue(typ string, err error) *fhir.Issue {
	return fhir.Problem("exception", "A stored "+typ+" does not pass its integrity check and is not shown.",
		"Run `yarrow doctor` to find every damaged record, then restore them from a backup.").Because(err)
}

// uuidBytes returns the bytes of a UUID written in the canonical lower-case form.
func uuidBytes(s string) (u [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' || strings.ToLower(s) != s {
		return u, false
	}
	if _, err := hex.Decode(u[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:])); err != nil {
		return u, false
	}
	return u, true
}

func uuidText(u [16]byte) string {
	var b [36]byte
	hex.Encode(b[:8], u[:4])
	b[8] = '-'
	hex.Encode(b[9:13], u[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], u[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], u[8:10])
	b[23] = '-'
	hex.Encode(b[24:], u[10:])
	return string(b[:])
}
