package keys_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"pgregory.net/rapid"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/keys"
	"yarrow.health/internal/standards/fhir"
)

func options(t *testing.T) keys.Options {
	o := keys.DefaultOptions(filepath.Join(t.TempDir(), "data"))
	o.MasterText, o.MayCreate = "", true
	return o
}

func open(t *testing.T, o keys.Options) (*keys.Ring, *keys.Created) {
	t.Helper()
	ring, created, err := keys.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return ring, created
}

func practice(t *testing.T, r *keys.Ring, id int64) *keys.Practice {
	t.Helper()
	if err := r.Create(id); err != nil {
		t.Fatal(err)
	}
	p, err := r.Practice(id)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wantIssue(t *testing.T, err error, code, words string) {
	t.Helper()
	var issue *fhir.Issue
	if !errors.As(err, &issue) || issue.Code != code || !strings.Contains(issue.Text, words) || issue.Fix == "" {
		t.Errorf("got %v, want a %q issue about %q with a remedy", err, code, words)
	}
}

func TestKeysSurviveReopening(t *testing.T) {
	o := options(t)
	ring, created := open(t, o)
	if created == nil || len(created.Recovery) != 71 {
		t.Fatalf("created = %+v", created)
	}
	p := practice(t, ring, 7)
	sealed := p.Seal(nil, []byte("plain"), []byte("7|Patient|x|1"))
	if len(sealed) != len("plain")+keys.Overhead {
		t.Errorf("sealed has %d bytes", len(sealed))
	}
	o.MayCreate = false
	again, created := open(t, o)
	if created != nil {
		t.Error("a second start made a new master key")
	}
	q, err := again.Practice(7)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := q.Open([]byte("pre"), sealed, []byte("7|Patient|x|1"))
	if err != nil || string(plain) != "preplain" {
		t.Errorf("Open = %q, %v", plain, err)
	}
	if p.Hash("a") != q.Hash("a") || !bytes.Equal(p.FileKey(), q.FileKey()) || !bytes.Equal(p.Derive("x", 9), q.Derive("x", 9)) {
		t.Error("keys differ after reopening")
	}
	for _, path := range []string{o.MasterFile, filepath.Join(o.StoreDir, "keys.json")} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
}

func TestEveryPurposeHasItsOwnKey(t *testing.T) {
	ring, _ := open(t, options(t))
	p, q := practice(t, ring, 1), practice(t, ring, 2)
	if bytes.Equal(p.FileKey(), q.FileKey()) || p.Hash("a") == q.Hash("a") || len(p.FileKey()) != 64 {
		t.Error("two practices share a key")
	}
	sealed := p.Seal(nil, []byte("x"), nil)
	for name, s := range map[string]interface {
		Open(dst, sealed, aad []byte) ([]byte, error)
	}{"other practice": q, "blob": p.Blob(), "audit": p.Audit()} {
		if _, err := s.Open(nil, sealed, nil); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("%s opens it: %v", name, err)
		}
	}
}

func TestAChangedByteIsNeverServed(t *testing.T) {
	ring, _ := open(t, options(t))
	p := practice(t, ring, 1)
	rapid.Check(t, func(rt *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(rt, "plain")
		aad := rapid.SliceOf(rapid.Byte()).Draw(rt, "aad")
		sealed := p.Seal(nil, plain, aad)
		got, err := p.Open(nil, sealed, aad)
		if err != nil || !bytes.Equal(got, plain) {
			rt.Fatalf("Open = %x, %v", got, err)
		}
		broken := bytes.Clone(sealed)
		broken[rapid.IntRange(0, len(broken)-1).Draw(rt, "at")] ^= byte(rapid.IntRange(1, 255).Draw(rt, "flip"))
		if _, err := p.Open(nil, broken, aad); !errors.Is(err, keys.ErrSealed) {
			rt.Fatalf("changed bytes opened: %v", err)
		}
		if _, err := p.Open(nil, sealed, append(bytes.Clone(aad), 1)); !errors.Is(err, keys.ErrSealed) {
			rt.Fatalf("bytes opened in another place: %v", err)
		}
		if _, err := p.Open(nil, sealed[:rapid.IntRange(0, len(sealed)-1).Draw(rt, "cut")], aad); !errors.Is(err, keys.ErrSealed) {
			rt.Fatalf("cut bytes opened: %v", err)
		}
	})
}

func TestHashPartsAreUnambiguous(t *testing.T) {
	ring, _ := open(t, options(t))
	p := practice(t, ring, 1)
	seen := map[int64][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"ab"}, {"a", "b"}, {"ab", "c"}, {"a", "bc"}, {"abc"},
		{strings.Repeat("a", 200)}, {strings.Repeat("a", 199), "a"}} {
		h := p.Hash(parts...)
		if other, ok := seen[h]; ok {
			t.Errorf("%q and %q have one hash", parts, other)
		}
		seen[h] = parts
	}
	h := p.Hasher()
	h.Part("Observation|code")
	fork := h
	fork.PartBytes([]byte("8480-6"))
	if fork.Sum() != p.Hash("Observation|code", "8480-6") || h.Sum() != p.Hash("Observation|code") {
		t.Error("a forked Hasher differs from Hash")
	}
	h.Reset()
	if h.Sum() != p.Hash() {
		t.Error("Reset keeps something")
	}
}

func TestRecoveryKeyRecreatesTheMasterKey(t *testing.T) {
	o := options(t)
	ring, created := open(t, o)
	want := practice(t, ring, 1).Hash("x")
	if err := os.Remove(o.MasterFile); err != nil {
		t.Fatal(err)
	}
	_, _, err := keys.Open(o)
	wantIssue(t, err, "not-found", "master key file")

	typed := strings.ToLower(strings.ReplaceAll(created.Recovery, "-", " "))
	if err := keys.Recover(o.MasterFile, typed); err != nil {
		t.Fatal(err)
	}
	again, _ := open(t, o)
	if p, err := again.Practice(1); err != nil || p.Hash("x") != want {
		t.Errorf("after recovery: %v", err)
	}
	wantIssue(t, keys.Recover(o.MasterFile, typed), "conflict", "already")

	// The environment serves as well as the file.
	if err := os.Remove(o.MasterFile); err != nil {
		t.Fatal(err)
	}
	o.MasterText = created.Recovery
	open(t, o)
}

func TestMistypedRecoveryKeyIsNoticed(t *testing.T) {
	o := options(t)
	_, created := open(t, o)
	text := []byte(created.Recovery)
	for i, c := range text {
		if c == '-' {
			continue
		}
		wrong := bytes.Clone(text)
		wrong[i] = 'A'
		if c == 'A' {
			wrong[i] = 'B'
		}
		if i == len(text)-1 { // the last character carries one bit of five
			continue
		}
		wantIssue(t, keys.Recover(o.MasterFile+".other", string(wrong)), "value", "recovery key")
	}
	for _, wrong := range []string{"", "hello", created.Recovery + "00", created.Recovery[:40], "????"} {
		wantIssue(t, keys.Recover(o.MasterFile+".other", wrong), "value", "recovery key")
	}
}

func TestWrongMasterKeyIsNamed(t *testing.T) {
	a, b := options(t), options(t)
	open(t, a)
	open(t, b)
	a.MasterFile = b.MasterFile
	_, _, err := keys.Open(a)
	wantIssue(t, err, "security", "wrong master key")
}

func TestMissingKeyStoreIsNotReplacedWhenThereIsData(t *testing.T) {
	o := options(t)
	open(t, o)
	if err := os.RemoveAll(o.StoreDir); err != nil {
		t.Fatal(err)
	}
	o.MayCreate = false
	_, _, err := keys.Open(o)
	wantIssue(t, err, "not-found", "key store")
	if _, err := os.Stat(o.StoreDir); !os.IsNotExist(err) {
		t.Error("a key store was made")
	}
}

func TestDamagedKeyStoreIsNoticed(t *testing.T) {
	o := options(t)
	ring, _ := open(t, o)
	practice(t, ring, 1)
	path := filepath.Join(o.StoreDir, "keys.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range [][]byte{raw[:len(raw)/2], bytes.Replace(raw, []byte(`"wrapping": "A`), []byte(`"wrapping": "B`), 1)} {
		if bytes.Equal(broken, raw) {
			t.Fatal("the test changed nothing")
		}
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err = keys.Open(o)
		wantIssue(t, err, "exception", "damaged")
	}
}

func TestDestroyedKeysAreGone(t *testing.T) {
	o := options(t)
	ring, _ := open(t, o)
	practice(t, ring, 1)
	kept := practice(t, ring, 2)
	path := filepath.Join(o.StoreDir, "keys.json")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	when, err := ring.Destroy(1)
	if err != nil || when.IsZero() {
		t.Fatal(when, err)
	}
	_, err = ring.Practice(1)
	wantIssue(t, err, "deleted", "destroyed")
	wantIssue(t, ring.Create(1), "deleted", "destroyed")
	if again, err := ring.Destroy(1); err != nil || !again.Equal(when) {
		t.Errorf("a second time: %v, %v", again, err)
	}
	_, err = ring.Destroy(9)
	wantIssue(t, err, "not-found", "9")

	other, _ := open(t, o)
	if p, err := other.Practice(2); err != nil || p.Hash("x") != kept.Hash("x") {
		t.Errorf("the other practice: %v", err)
	}
	// Every sealed piece was renewed: nothing of the old file is in the new one.
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range bytes.Split(before, []byte(`"`)) {
		if len(piece) > 40 && bytes.Contains(after, piece) {
			t.Error("a sealed secret of the old key store is still in the new one")
		}
	}
}

func TestRotatedKeysStillOpenWhatOlderOnesSealed(t *testing.T) {
	o := options(t)
	o.Clock = clock.NewManual(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	ring, _ := open(t, o)
	p := practice(t, ring, 1)
	old := p.Seal(nil, []byte("old"), nil)
	rotate(t, ring, o.Clock.Now().Add(time.Hour), 10, []int64{1}, []int64{1}, 0)
	q := practice(t, ring, 1)
	if plain, err := q.Open(nil, old, nil); err != nil || string(plain) != "old" {
		t.Errorf("%q, %v", plain, err)
	}
	fresh := q.Seal(nil, []byte("new"), nil)
	if fresh[0] == old[0] {
		t.Error("the generation did not change")
	}
	// A process that runs on with the older generation reads what one that was started since sealed.
	if plain, err := p.Open(nil, fresh, nil); err != nil || string(plain) != "new" {
		t.Errorf("%q, %v", plain, err)
	}
	for _, harm := range []byte{0, 3, 255} {
		bad := bytes.Clone(fresh)
		bad[0] = harm
		if _, err := q.Open(nil, bad, nil); !errors.Is(err, keys.ErrSealed) {
			t.Errorf("opens as of generation %d", harm)
		}
	}
	if p.Hash("x") != q.Hash("x") || !bytes.Equal(p.FileKey(), q.FileKey()) {
		t.Error("index or file key changed")
	}
}

func rotate(t *testing.T, ring *keys.Ring, before time.Time, most int, only, want []int64, left int) {
	t.Helper()
	got, err := ring.Rotate(before, most, only)
	if err != nil || !slices.Equal(got.Rotated, want) || got.Left != left || len(got.Spent) > 0 {
		t.Errorf("%+v, %v; want %v and %d to go", got, err, want, left)
	}
}

// A rotation that is interrupted goes on with the rest, and rotates nothing twice.
func TestRotationGoesOn(t *testing.T) {
	o := options(t)
	o.Clock = clock.NewManual(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC))
	ring, _ := open(t, o)
	for id := int64(1); id <= 4; id++ {
		practice(t, ring, id)
	}
	none := []int64(nil)
	rotate(t, ring, o.Clock.Now().Add(-time.Hour), 10, nil, none, 0) // all are young
	o.Clock.Advance(time.Hour)
	before := o.Clock.Now()
	rotate(t, ring, before, 2, nil, []int64{0, 1}, 3)
	ring, _ = open(t, o) // another process
	rotate(t, ring, before, 2, nil, []int64{2, 3}, 1)
	rotate(t, ring, before, 2, nil, []int64{4}, 0)
	rotate(t, ring, before, 2, nil, none, 0)
	if _, err := ring.Rotate(before, 2, []int64{9}); err == nil {
		t.Error("a practice that is not there was rotated")
	}
}

func TestVouching(t *testing.T) {
	ring, _ := open(t, options(t))
	other, _ := open(t, options(t))
	proof := ring.Vouch("do this")
	if !ring.Vouched("do this", proof) || ring.Vouched("do that", proof) || ring.Vouched("do this", "") || other.Vouched("do this", proof) {
		t.Error("what was vouched for is not told from what was not")
	}
}

func BenchmarkHash(b *testing.B) {
	o := keys.DefaultOptions(filepath.Join(b.TempDir(), "data"))
	o.MayCreate = true
	ring, _, err := keys.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	p, err := ring.Practice(0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p.Hash("Observation", "code", "http://loinc.org", "8480-6")
	}
}

func TestKeyExportCarriesKeysElsewhere(t *testing.T) {
	who, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	from, _ := open(t, options(t))
	want := practice(t, from, 5).Hash("x")
	practice(t, from, 6)
	system := practice(t, from, 0).Hash("x")
	var all, one bytes.Buffer
	if err := from.Export(&all, nil, who.Recipient()); err != nil {
		t.Fatal(err)
	}
	if err := from.Export(&one, []int64{5}, who.Recipient()); err != nil {
		t.Fatal(err)
	}
	wantIssue(t, from.Export(&bytes.Buffer{}, []int64{99}, who.Recipient()), "not-found", "99")

	o := options(t)
	to, _ := open(t, o)
	if err := to.Import(bytes.NewReader(all.Bytes()), who); err != nil {
		t.Fatal(err)
	}
	again, _ := open(t, o)
	for id, want := range map[int64]int64{5: want, 0: system} {
		if p, err := again.Practice(id); err != nil || p.Hash("x") != want {
			t.Errorf("practice %d: %v", id, err)
		}
	}
	if err := again.Import(bytes.NewReader(one.Bytes()), who); err != nil {
		t.Errorf("importing the same key again: %v", err)
	}
	third, _ := open(t, options(t))
	practice(t, third, 5)
	wantIssue(t, third.Import(bytes.NewReader(all.Bytes()), who), "conflict", "another key")

	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	wantIssue(t, to.Import(bytes.NewReader(all.Bytes()), stranger), "security", "does not open")
	broken := bytes.Clone(all.Bytes())
	broken[len(broken)-5] ^= 1
	wantIssue(t, to.Import(bytes.NewReader(broken), who), "exception", "damaged")
	if _, err := from.Destroy(5); err != nil {
		t.Fatal(err)
	}
	wantIssue(t, from.Import(bytes.NewReader(one.Bytes()), who), "deleted", "destroyed")
}
