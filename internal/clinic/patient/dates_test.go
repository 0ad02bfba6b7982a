package patient

import (
	"testing"

	"time"
	"yarrow.health/internal/standards/fhir"

	"pgregory.net/rapid"
)

var today = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func TestParseBirthDate(t *testing.T) {
	for in, want := range map[string]string{
		"3/14/68": "1968-03-14", "1968-03-14": "1968-03-14", "03/14/1968": "1968-03-14", "3-14-1968": "1968-03-14",
		"14 Mar 1968": "1968-03-14", "Mar 14, 1968": "1968-03-14", "march 14 1968": "1968-03-14", "03141968": "1968-03-14",
		"19680314": "1968-03-14", "1/2/26": "2026-01-02", "3/14/26": "", "2/30/1990": "", "13/1/1990": "", "yesterday": "",
		"": "", "3/14": "", "3/14/196": "", "0/1/1990": "", "29 Feb 2024": "2024-02-29", "29 Feb 2023": "",
	} {
		got, ok := ParseBirthDate(in, today)
		if got != want || ok != (want != "") {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

func TestEverySpellingOfADate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := time.Date(1930, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 35000).Draw(t, "day"))
		want := day.Format("2006-01-02")
		for _, layout := range []string{"2006-01-02", "1/2/2006", "01/02/2006", "2 Jan 2006", "Jan 2 2006", "1-2-2006", "January 2, 2006"} {
			if got, _ := ParseBirthDate(day.Format(layout), today); got != want {
				t.Fatalf("%s gives %q, want %q", day.Format(layout), got, want)
			}
		}
	})
}

func TestAge(t *testing.T) {
	for birth, want := range map[string]string{
		"1968-03-14": "57 y", "1968-03-02": "58 y", "2026-02-28": "2 d", "2026-01-20": "5 wk", "2025-01-02": "14 mo",
		"2024-03-03": "23 mo", "2024-03-02": "2 y", "1968": "about 58 y", "1968-04": "about 57 y", "": "", "2027-01-01": "",
	} {
		if got := Age(birth, today); got != want {
			t.Errorf("%s is %q, want %q", birth, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"okafor", "okafor", 0}, {"okafor", "okafro", 1}, {"okafor", "okafo", 1}, {"okafor", "okaforr", 1}, {"okafor", "akafar", 2}, {"smith", "jones", 3}, {"josé", "jose", 1}} {
		if got := fhir.Edits(c.a, c.b, 2); min(got, 3) != c.want {
			t.Errorf("%s %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringMatching(`[a-d]{0,6}`).Draw(t, "a"), rapid.StringMatching(`[a-d]{0,6}`).Draw(t, "b")
		if fhir.Edits(a, b, 9) != fhir.Edits(b, a, 9) {
			t.Fatal("not symmetric")
		}
		if d := fhir.Edits(a, b, 9); min(fhir.Edits(a, b, 2), 3) != min(d, 3) {
			t.Fatalf("the limit changes the answer: %d", d)
		}
	})
}

func TestMRNCheckDigit(t *testing.T) {
	for range 200 {
		n := newMRN()
		if len(n) != 8 || n[7] != byte('0'+fhir.CheckDigit(n[:7])) {
			t.Fatalf("%s", n)
		}
	}
	if fhir.CheckDigit("7992739871") != 3 { // the example of the Luhn patent's usual description
		t.Error("not Luhn's digit")
	}
}
