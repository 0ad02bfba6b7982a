package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"yarrow.health/internal/base/db"
)

const wordsHash = "0d46f5e0fab04526"

// The stored entries of every practice refer to words by number.
func TestWordsAreAppendOnly(t *testing.T) {
	const first = 118 // words covered by the hash; raise both when words are added at the end
	if len(words) < first {
		t.Fatalf("there are %d words; %d were published", len(words), first)
	}
	sum := sha256.Sum256([]byte(strings.Join(words[:first], "\n")))
	if got, want := hex.EncodeToString(sum[:8]), wordsHash; got != want {
		t.Errorf("the published words changed: hash %s, was %s", got, want)
	}
	seen := map[string]bool{}
	for _, w := range words {
		if seen[w] {
			t.Errorf("%q stands twice", w)
		}
		seen[w] = true
	}
}

func sample() Entry {
	at := time.Date(2026, 3, 2, 9, 0, 0, 123000, time.UTC)
	return Entry{
		ID: idAt(at) + 77, At: at,
		Actor: db.Actor{Kind: "staff", UserID: 12, Session: "00c0ffee00c0ffee", Request: "0123456789abcdef"},
		Event: Event{
			Action: ActionRead, Type: "Observation", ID: "6b0b9a4e-6f0f-4c55-9a3e-0d8c1c9b7a11", Version: 3,
			Patient: "Patient/2f0c2a9e-9d55-4b0e-8e5f-6a1b2c3d4e5f", Categories: []string{"results"},
		},
	}
}

func TestCanonicalGolden(t *testing.T) {
	e := sample()
	got := appendEntry(nil, &e)
	want := "01" +
		"0a01" + // action
		"200c" + // user 12
		"3c00c0ffee00c0ffee" + // session
		"440123456789abcdef" + // request
		"522b" + // type
		"5b6b0b9a4e6f0f4c559a3e0d8c1c9b7a11" + // id
		"6003" + // version
		"752803" + "2f0c2a9e9d554b0e8e5f6a1b2c3d4e5f" + // patient
		"8a64" // category
	if h := hex.EncodeToString(got); h != want {
		t.Errorf("bytes changed:\n got %s\nwant %s", h, want)
	}
	if len(got) > 70 {
		t.Errorf("a typical entry takes %d bytes", len(got))
	}
}

func text() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom(words),
		rapid.SampledFrom([]string{"", "Patient/", "/x", "Patient/1/2", "Unknown/3", "Patient/read", "0123456789abcdef",
			"0123456789ABCDEF", "6b0b9a4e-6f0f-4c55-9a3e-0d8c1c9b7a11", "Patient/6b0b9a4e-6f0f-4c55-9a3e-0d8c1c9b7a11",
			"Patient/0123456789abcdef", "6B0B9A4E-6f0f-4c55-9a3e-0d8c1c9b7a11", "staff"}),
		rapid.String(),
	)
}

func anyEntry(t *rapid.T) Entry {
	texts := rapid.SliceOfN(text().Filter(func(s string) bool { return s != "" }), 0, 5)
	e := Entry{
		At: time.UnixMicro(rapid.Int64Range(idEpochMicro, idEpochMicro+1<<50).Draw(t, "at")).UTC(),
		Actor: db.Actor{
			Kind: text().Filter(func(s string) bool { return s != "" }).Draw(t, "kind"), UserID: rapid.Int64().Draw(t, "user"),
			FHIR: text().Draw(t, "fhir"), Display: text().Draw(t, "display"), Session: text().Draw(t, "session"),
			Request: text().Draw(t, "request"), Client: text().Draw(t, "client"),
			Role: text().Draw(t, "role"), OnBehalf: text().Draw(t, "behalf"), Address: text().Draw(t, "address"),
		},
		Event: Event{
			Action: text().Draw(t, "action"), Type: text().Draw(t, "type"), ID: text().Draw(t, "id"),
			Version: rapid.Int64().Draw(t, "version"), Patient: text().Draw(t, "patient"),
			Outcome: text().Draw(t, "outcome"), Purpose: text().Draw(t, "purpose"),
			Categories: texts.Draw(t, "categories"), Labels: rapid.Int64().Draw(t, "labels"),
			Detail: text().Draw(t, "detail"), Links: texts.Draw(t, "links"),
		},
	}
	e.Event = e.Event.normal()
	if rapid.Bool().Draw(t, "own") {
		e.Patient = e.Type + "/" + e.Event.ID
	}
	if len(e.Categories) == 0 {
		e.Categories = nil
	}
	if len(e.Links) == 0 {
		e.Links = nil
	}
	e.ID = idAt(e.At) + rapid.Int64Range(0, 1<<30).Draw(t, "delay")
	return e
}

func TestCanonicalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEntry(t)
		b := appendEntry(nil, &e)
		got, err := decodeEntry(e.ID, b)
		if err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if d := cmp.Diff(e, got); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	e := sample()
	b := appendEntry(nil, &e)
	f.Add(b)
	f.Add([]byte{1, fieldKind<<3 | formWord, 24})
	f.Add([]byte{1, fieldSamePatient << 3, 1})
	f.Add([]byte{1, fieldUser << 3, 0x80, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeEntry(e.ID, b)
		if err != nil {
			return
		}
		if again := appendEntry(nil, &got); !bytes.Equal(b, again) {
			t.Errorf("%x was read but is not canonical: %x", b, again)
		}
	})
}

func TestIdentsGrow(t *testing.T) {
	var s idents
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	last := int64(0)
	for i := range 100 {
		if i == 50 {
			now = now.Add(-time.Hour) // the clock is set back
		}
		ids := make([]int64, 3)
		s.next(now, ids)
		for _, id := range ids {
			if id>>idShift <= last>>idShift {
				t.Fatalf("id %d after %d", id, last)
			}
			last = id
		}
	}
	if d := idMicro(last) - now.Add(time.Hour).UnixMicro(); d < 0 || d > 400 {
		t.Errorf("ids are %d µs away from the clock", d)
	}
}

func TestEventLimits(t *testing.T) {
	var links []string
	for range 100 {
		links = append(links, "Patient/6b0b9a4e-6f0f-4c55-9a3e-0d8c1c9b7a11")
	}
	parts := Event{Links: links, Detail: strings.Repeat("é", 500), Outcome: OutcomeSuccess}.parts()
	if len(parts) != 3 || len(parts[0].Links) != maxLinks || len(parts[2].Links) != 20 {
		t.Fatalf("split into %d", len(parts))
	}
	for _, p := range parts {
		e := Entry{ID: idAt(time.Unix(2e9, 0)), At: time.Unix(2e9, 0), Actor: db.Actor{Kind: "staff", UserID: 1}, Event: p}
		if n := len(appendEntry(nil, &e)); n > 1100 {
			t.Errorf("an entry takes %d bytes", n)
		}
		if p.Action != ActionUnspecified || p.Outcome != "" || len(p.Detail) > maxText {
			t.Errorf("not normal: %+v", p)
		}
	}
}
