package auth

import (
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCheckPassword(t *testing.T) {
	for _, c := range []struct {
		password    string
		alone, fine bool
	}{
		{"", false, false},
		{"short1", false, false},
		{"violet tundra 9 kettle", true, true},
		{"gelbe Schnürsenkel tanzen", true, true},
		{"五つの静かな山と古い橋の上の猫", true, true}, // 15 characters, more bytes
		{"jv8Qr2mT", true, false},       // fine only beside a second factor
		{"jv8Qr2mT", false, true},
		{"aaaaaaaaaaaaaaaaaaaa", true, false},
		{"123456789012345678", true, false},
		{"passwordpassword", true, false},
		{"Password1234567!", true, false},
		{"p@ssw0rd p@ssw0rd", true, false},
		{"Welcome2Welcome2", true, false},
		{"correct horse battery staple", true, false},
		{"qwertyuiopasdfghjkl", true, false},
		{"drannashriverside", true, false}, // name and practice
		{"bad\xffutf8 but quite long", true, false},
		{strings.Repeat("violet tundra kettle ", 60), true, false}, // over the limit
		{strings.Repeat("x9 Kettle tundra violet. ", 20), true, true},
	} {
		err := CheckPassword(c.password, c.alone, "dr.annash@example.org", "Ann Ash", "Riverside")
		if (err == nil) != c.fine {
			t.Errorf("%.30q alone=%v: %v", c.password, c.alone, err)
		}
		if err != nil && c.password != "" && strings.Contains(err.Error(), c.password) {
			t.Errorf("the answer repeats the password: %v", err)
		}
	}
}

func TestHasher(t *testing.T) {
	h := newHasher(2, argonMemory)
	ctx := t.Context()
	stored, err := h.hash(ctx, "violet tundra 9 é")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(stored, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("stored as %s", stored)
	}
	for _, c := range []struct {
		stored, password string
		want             bool
	}{
		{stored, "violet tundra 9 é", true},
		{stored, "violet tundra 9 e\u0301", true}, // the same letters in another form
		{stored, "violet tundra 9 e", false},
		{stored, "", false},
		{"", "", false},
		{"", "violet tundra 9 é", false},
		{"$argon2id$v=19$m=19456,t=2,p=1$AAAA$BBBB", "x", false},
		{"$argon2id$v=19$m=99999999,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "x", false},
		{h.dummy, "x", false},
	} {
		before := h.work.Load()
		got, err := h.matches(ctx, c.stored, c.password, false)
		if err != nil || got != c.want {
			t.Errorf("%.20s %q: %v %v", c.stored, c.password, got, err)
		}
		if n := h.work.Load() - before; n != 1 {
			t.Errorf("%.20s %q cost %d hashes", c.stored, c.password, n)
		}
	}
}

func TestHasherIsBounded(t *testing.T) {
	h := newHasher(1, 64)
	h.turns <- struct{}{} // somebody is hashing
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range maxHashesWaiting + 10 {
		wg.Go(func() {
			done, err := h.take(t.Context(), false)
			if err != nil {
				mu.Lock()
				refused++
				if refused == 10 {
					<-h.turns // let the others through
				}
				mu.Unlock()
				return
			}
			done()
		})
	}
	done, err := h.take(t.Context(), true) // a known device need not wait for strangers
	if err != nil {
		t.Error(err)
	}
	done()
	wg.Wait()
	if refused < 10 {
		t.Errorf("%d were refused", refused)
	}
}

// RFC 6238, Appendix B, SHA-1, last six digits.
func TestTOTPVectors(t *testing.T) {
	secret := base32Plain.EncodeToString([]byte("12345678901234567890"))
	for _, c := range []struct {
		unix int64
		code string
	}{{59, "287082"}, {1111111109, "081804"}, {1111111111, "050471"}, {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"}} {
		at := time.Unix(c.unix, 0)
		if got, err := TOTPCode(secret, at); err != nil || got != c.code {
			t.Errorf("%d: %s %v", c.unix, got, err)
		}
		for skew, want := range map[int64]int64{-60: 0, -30: c.unix / 30, 0: c.unix / 30, 30: c.unix / 30, 60: 0} {
			if got := totpStepOf(secret, c.code, at.Add(time.Duration(skew)*time.Second)); c.unix > 60 && got != want {
				t.Errorf("%d %+d s: step %d, want %d", c.unix, skew, got, want)
			}
		}
	}
	now := time.Unix(1111111111, 0)
	if totpStepOf(secret, "050 471", now) == 0 {
		t.Error("a code with a space is refused")
	}
	for _, bad := range []string{"", "0", "050472", "0504710", "05047", "abcdef"} {
		if totpStepOf(secret, bad, now) != 0 {
			t.Errorf("%q passes", bad)
		}
	}
	code, _ := TOTPCode(dummySecret, now)
	if totpStepOf("", code, now) != 0 {
		t.Error("the dummy secret's code passes for somebody without a secret")
	}
}

func TestRecoveryCodeForm(t *testing.T) {
	seen := map[string]bool{}
	for range 200 {
		c := newRecoveryCode()
		if len(c) != 14 || seen[c] || plainCode(" "+strings.ToUpper(c)+" ") != strings.ReplaceAll(c, "-", "") {
			t.Fatalf("code %q", c)
		}
		seen[c] = true
	}
	for _, bad := range []string{"", "123456", "abcd-efgh-jkm", "abcd-efgh-jkmi", "abcd-efgh-jkm$"} {
		if plainCode(bad) != "" {
			t.Errorf("%q is taken for a code", bad)
		}
	}
}

func TestThrottleDelays(t *testing.T) {
	for _, k := range []throttleKind{byPair, byLogin, byAddress, byDevice} {
		last := time.Duration(0)
		for n := range int64(2000) {
			d := k.delay(n)
			if d < last || n < k.free && d != 0 || d > 15*time.Minute {
				t.Fatalf("%s after %d failures: %s", k.name, n, d)
			}
			last = d
		}
	}
	if byLogin.delay(99) != time.Minute || byLogin.delay(100) != 15*time.Minute {
		t.Error("a login is not slowed as NIST asks")
	}
}

func TestAddressPrefix(t *testing.T) {
	for remote, want := range map[string]string{
		"203.0.113.9:443": "203.0.113.0/24", "203.0.113.200": "203.0.113.0/24", "[2001:db8:1:2ff::9]:1": "2001:db8:1:200::/56",
		"::ffff:203.0.113.9": "203.0.113.0/24", "fe80::1%eth0": "fe80::/56", "": "", "pipe": "pipe",
	} {
		if got := addressPrefix(remote); got != want {
			t.Errorf("%s: %s", remote, got)
		}
	}
}

func TestBrowserFamily(t *testing.T) {
	for agent, want := range map[string]string{
		"": "", "x": "other", "curl/8.1": "curl",
		"Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0":                                              "Firefox on Linux",
		"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0":                               "Edge on Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
	} {
		if got := browserFamily(agent); got != want {
			t.Errorf("%s: %s", agent, got)
		}
	}
}
