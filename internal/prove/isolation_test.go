package prove

import (
	"bufio"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// Answers that take alike long are told apart neither by their noise nor by a busy machine, and those that do not are.
func TestDiffers(t *testing.T) {
	for _, c := range []struct {
		name   string
		later  float64 // µs that one kind takes longer
		jitter float64 // share of rounds in which the machine is ten times slower
		want   bool
	}{
		{"alike", 0, 0, false},
		{"alike on a busy machine", 0, 0.3, false},
		{"closer than the way shows", 60, 0, false},
		{"apart", 400, 0, true},
		{"apart on a busy machine", 900, 0.02, true},
	} {
		wrong := 0
		for seed := range uint64(40) {
			r := rand.New(rand.NewPCG(seed, 1))
			one := func(later float64) float64 {
				v := 700*math.Exp(0.15*r.NormFloat64()) + later
				if r.Float64() < c.jitter {
					v *= 10
				}
				return v
			}
			_, _, yes := differs(func() (a, b sample) {
				for range timingEach {
					a, b = append(a, one(c.later)), append(b, one(0))
				}
				return a, b
			})
			if yes != c.want {
				wrong++
			}
		}
		if wrong > 0 {
			t.Errorf("%s: wrong in %d of 40 runs", c.name, wrong)
		}
	}
	// A difference that turns round is the machine's.
	n := 0.0
	if _, _, yes := differs(func() (a, b sample) {
		n++
		for i := range timingEach {
			a, b = append(a, 1000+float64(i%7)+500*math.Mod(n, 2)), append(b, 1250+float64(i%7))
		}
		return a, b
	}); yes {
		t.Error("a difference that turns round counts")
	}
}

func TestWhatWasTold(t *testing.T) {
	const event = `{"name":"notification-event","part":[{"name":"event-number","valueString":"%"},{"name":"timestamp","valueInstant":"x"},{"name":"focus","valueReference":{"reference":"https://prove.example.org/a/fhir/Patient/p-%"}}]}`
	one, two := strings.ReplaceAll(event, "%", "1"), strings.ReplaceAll(event, "%", "2")
	if a, b := told([]byte("["+one+","+two+"]")), told([]byte("id: 1\ndata: "+one+"\n\nid: 2\ndata: "+two)); a != b || a != "1 Patient/p-1 2 Patient/p-2 " {
		t.Errorf("%q, %q", a, b)
	}
}

func TestFrames(t *testing.T) {
	long := strings.Repeat("x", 70000)
	r := bufio.NewReader(strings.NewReader("\x81\x02hi" + "\x81\x7e\x01\x00" + long[:256] + "\x81\x7f\x00\x00\x00\x00\x00\x01\x11\x70" + long + "\x81\x7f\x7f\x00\x00\x00\x00\x01\x11\x70"))
	for _, want := range []string{"hi", long[:256], long} {
		if got, err := readFrame(r); err != nil || string(got) != want {
			t.Errorf("%d bytes: %v", len(got), err)
		}
	}
	if _, err := readFrame(r); err == nil {
		t.Error("a frame without an end is read")
	}
}
