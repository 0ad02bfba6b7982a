package audit

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"yarrow.health/internal/base/db"
)

// Canonical bytes of an entry, version 1.
//
//	entry = 0x01 field*
//	field = key value            key = number<<3 | form, one byte; fields in ascending order, absent when empty
//	form 0: unsigned varint
//	form 1: text, varint length then UTF-8
//	form 2: a word, varint index into words
//	form 3: 16 bytes, a UUID in lower case with hyphens
//	form 4: 8 bytes, 16 lower-case hexadecimal digits
//	form 5: a reference: word of its type, then one byte form (1, 3, 4) and the id in that form
//
// A text is always written in the first form that fits, in the order 2, 3, 4, 5, 1, so that equal entries have equal
// bytes and decoding followed by encoding gives the same bytes. The entry's practice, position and id are not inside;
// they are part of the leaf hash. The time is the id's time less the delay of field 2.
const canonicalVersion = 1

// Field numbers, never reused.
const (
	fieldAction = iota + 1
	fieldDelay
	fieldKind
	fieldUser
	fieldFHIR
	fieldDisplay
	fieldSession
	fieldRequest
	fieldClient
	fieldType
	fieldID
	fieldVersion
	fieldSamePatient // the patient is the resource itself
	fieldPatient
	fieldOutcome
	fieldPurpose
	fieldCategory // repeated
	fieldLabels
	fieldDetail
	fieldLink // repeated
	fieldRole
	fieldOnBehalf
	fieldAddress
)

const (
	formVarint = iota
	formText
	formWord
	formUUID
	formHex
	formRef
)

const actorStaff = "staff"

var errCanonical = errors.New("audit: entry is not in canonical form")

// appendEntry appends the canonical bytes of an entry. The event must be normal.
func appendEntry(dst []byte, e *Entry) []byte {
	dst = append(dst, canonicalVersion)
	dst = appendText(dst, fieldAction, e.Action)
	dst = appendNumber(dst, fieldDelay, uint64(idMicro(e.ID)-e.At.UnixMicro()))
	if e.Actor.Kind != actorStaff {
		dst = appendText(dst, fieldKind, e.Actor.Kind)
	}
	dst = appendNumber(dst, fieldUser, uint64(e.Actor.UserID))
	dst = appendText(dst, fieldFHIR, e.Actor.FHIR)
	dst = appendText(dst, fieldDisplay, e.Actor.Display)
	dst = appendText(dst, fieldSession, e.Actor.Session)
	dst = appendText(dst, fieldRequest, e.Actor.Request)
	dst = appendText(dst, fieldClient, e.Actor.Client)
	dst = appendText(dst, fieldType, e.Type)
	dst = appendText(dst, fieldID, e.Event.ID)
	dst = appendNumber(dst, fieldVersion, uint64(e.Version))
	if e.Patient != "" && e.Patient == e.Type+"/"+e.Event.ID {
		dst = appendNumber(dst, fieldSamePatient, 1)
	} else {
		dst = appendText(dst, fieldPatient, e.Patient)
	}
	dst = appendText(dst, fieldOutcome, e.Outcome)
	dst = appendText(dst, fieldPurpose, e.Purpose)
	for _, c := range e.Categories {
		dst = appendText(dst, fieldCategory, c)
	}
	dst = appendNumber(dst, fieldLabels, uint64(e.Labels))
	dst = appendText(dst, fieldDetail, e.Detail)
	for _, l := range e.Links {
		dst = appendText(dst, fieldLink, l)
	}
	dst = appendText(dst, fieldRole, e.Actor.Role)
	dst = appendText(dst, fieldOnBehalf, e.Actor.OnBehalf)
	return appendText(dst, fieldAddress, e.Actor.Address)
}

func appendNumber(dst []byte, field int, n uint64) []byte {
	if n == 0 {
		return dst
	}
	return binary.AppendUvarint(append(dst, byte(field<<3+formVarint)), n)
}

func appendText(dst []byte, field int, s string) []byte {
	if s == "" {
		return dst
	}
	if w, ok := wordNumbers()[s]; ok {
		return binary.AppendUvarint(append(dst, byte(field<<3|formWord)), w)
	}
	if typ, id, ok := strings.Cut(s, "/"); ok && id != "" {
		if w, ok := wordNumbers()[typ]; ok {
			dst = binary.AppendUvarint(append(dst, byte(field<<3|formRef)), w)
			form, value := opaque(id)
			return appendOpaque(append(dst, form), form, value, id)
		}
	}
	form, value := opaque(s)
	return appendOpaque(append(dst, byte(field<<3)|form), form, value, s)
}

// opaque chooses the form of a text that is neither a word nor a reference.
func opaque(s string) (form byte, value []byte) {
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		if b := unhex(s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]); b != nil {
			return formUUID, b
		}
	}
	if len(s) == 16 {
		if b := unhex(s); b != nil {
			return formHex, b
		}
	}
	return formText, nil
}

// unhex decodes lower-case hexadecimal digits and returns nil for anything else.
func unhex(s string) []byte {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return nil
		}
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}

func appendOpaque(dst []byte, form byte, value []byte, s string) []byte {
	if form == formText {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		return append(dst, s...)
	}
	return append(dst, value...)
}

// decodeEntry reads canonical bytes. The id must be the one the bytes were stored under.
func decodeEntry(id int64, b []byte) (Entry, error) { return (&reader{}).entry(id, b) }

// decodeEarlier reads bytes that were canonical when words was shorter: a text may be one that is a word today.
func decodeEarlier(id int64, b []byte) (Entry, error) { return (&reader{fewer: true}).entry(id, b) }

func (r *reader) entry(id int64, b []byte) (Entry, error) {
	e := Entry{ID: id, Actor: db.Actor{Kind: actorStaff}}
	if len(b) == 0 || b[0] != canonicalVersion {
		return e, errCanonical
	}
	r.b = b[1:]
	var delay uint64
	last := 0
	for len(r.b) > 0 && !r.bad {
		key := r.b[0]
		r.b = r.b[1:]
		field, form := int(key>>3), key&7
		if field < last || (field == last && field != fieldCategory && field != fieldLink) {
			return e, errCanonical
		}
		last = field
		switch field {
		case fieldDelay:
			delay = r.number(form)
		case fieldUser:
			e.Actor.UserID = int64(r.number(form))
		case fieldVersion:
			e.Version = int64(r.number(form))
		case fieldLabels:
			e.Labels = int64(r.number(form))
		case fieldSamePatient:
			if r.number(form) != 1 {
				return e, errCanonical
			}
			e.Patient = e.Type + "/" + e.Event.ID
		default:
			s := r.text(form)
			if field == fieldKind && s == actorStaff || field == fieldPatient && s == e.Type+"/"+e.Event.ID {
				return e, errCanonical // there is a shorter way to say so
			}
			if to := e.textField(field); to != nil {
				*to = s
			} else if field == fieldCategory {
				e.Categories = append(e.Categories, s)
			} else if field == fieldLink {
				e.Links = append(e.Links, s)
			} else {
				return e, errCanonical
			}
		}
	}
	if r.bad || int64(delay) < 0 {
		return e, errCanonical
	}
	e.At = time.UnixMicro(idMicro(id) - int64(delay)).UTC()
	return e, nil
}

func (e *Entry) textField(field int) *string {
	switch field {
	case fieldAction:
		return &e.Action
	case fieldKind:
		return &e.Actor.Kind
	case fieldFHIR:
		return &e.Actor.FHIR
	case fieldDisplay:
		return &e.Actor.Display
	case fieldSession:
		return &e.Actor.Session
	case fieldRequest:
		return &e.Actor.Request
	case fieldClient:
		return &e.Actor.Client
	case fieldType:
		return &e.Type
	case fieldID:
		return &e.Event.ID
	case fieldPatient:
		return &e.Patient
	case fieldOutcome:
		return &e.Outcome
	case fieldPurpose:
		return &e.Purpose
	case fieldDetail:
		return &e.Detail
	case fieldRole:
		return &e.Actor.Role
	case fieldOnBehalf:
		return &e.Actor.OnBehalf
	case fieldAddress:
		return &e.Actor.Address
	}
	return nil
}

// reader takes values off canonical bytes; after the first fault bad is set and everything reads as empty.
type reader struct {
	b     []byte
	bad   bool
	fewer bool // words may be spelled out
}

func (r *reader) fail() { r.bad, r.b = true, nil }

func (r *reader) varint() uint64 {
	n, size := binary.Uvarint(r.b)
	// The last byte of a varint is zero only in the one-byte form of zero: a padded number is not canonical.
	if size <= 0 || (size > 1 && r.b[size-1] == 0) {
		r.fail()
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) number(form byte) uint64 {
	if form != formVarint {
		r.fail()
		return 0
	}
	n := r.varint()
	if n == 0 {
		r.fail()
	}
	return n
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) word() string {
	n := r.varint()
	if n == 0 || n >= uint64(len(words)) {
		r.fail()
		return ""
	}
	return words[n]
}

func (r *reader) text(form byte) string {
	switch form {
	case formWord:
		return r.word()
	case formRef:
		typ := r.word()
		f := r.take(1)
		if r.bad {
			return ""
		}
		return typ + "/" + r.opaque(f[0], false)
	}
	return r.opaque(form, true)
}

// opaque reads forms 1, 3 and 4. A text that a shorter form could have held is not canonical.
func (r *reader) opaque(form byte, top bool) string {
	switch form {
	case formUUID:
		b := r.take(16)
		if r.bad {
			return ""
		}
		h := hex.EncodeToString(b)
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	case formHex:
		b := r.take(8)
		if r.bad {
			return ""
		}
		return hex.EncodeToString(b)
	case formText:
		s := string(r.take(r.varint()))
		if s == "" || !utf8.ValidString(s) {
			r.fail()
			return ""
		}
		shorter, _ := opaque(s)
		if top && !r.fewer {
			_, isWord := wordNumbers()[s]
			typ, id, isRef := strings.Cut(s, "/")
			_, known := wordNumbers()[typ]
			if isWord || (isRef && id != "" && known) {
				shorter = formRef
			}
		}
		if shorter != formText {
			r.fail()
			return ""
		}
		return s
	}
	r.fail()
	return ""
}
