package codes

import (
	"fmt"
	"time"
)

// Addresses of code systems that only come in as releases.
const (
	SNOMED = "http://snomed.info/sct"
	CPT    = "http://www.ama-assn.org/go/cpt"
	NDC    = "http://hl7.org/fhir/sid/ndc"
	MVX    = "http://hl7.org/fhir/sid/mvx"
	NUCC   = "http://nucc.org/provider-taxonomy"
)

// Tier says under which terms a code set stands.
type Tier string

const (
	Open     Tier = "open"     // public domain, or free with a notice
	Licensed Tier = "licensed" // free of charge, but whoever uses it needs a licence of their own
	Own      Tier = "own"      // brought by the practice under its own paid or personal licence; never shared
)

// Release is an imported edition of a code system.
type Release struct {
	Kind     string    `json:"kind"`   // icd10cm, hcpcs, …
	System   string    `json:"system"` // canonical address
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Tier     Tier      `json:"tier"`
	Licence  string    `json:"licence"`           // the notice its owner asks for
	Holder   string    `json:"holder,omitempty"`  // licence number or statement the practice gave
	From     string    `json:"from,omitempty"`    // first day it is in force, YYYY-MM-DD
	Until    string    `json:"until,omitempty"`   // last day
	Imported time.Time `json:"imported"`          //
	Files    []string  `json:"files"`             // names of the files it came from
	Source   string    `json:"source"`            // SHA-256 over the files
	Concepts int       `json:"concepts"`          // all of them
	Retired  int       `json:"retired"`           // of these inactive
	Sum      string    `json:"sum"`               // SHA-256 of the packed concepts
	Bytes    int64     `json:"bytes"`             // packed, before compression
	Parts    int       `json:"parts"`             //
	Carried  int       `json:"carried,omitempty"` // concepts taken over from the edition before, retired
	Before   string    `json:"before,omitempty"`  // that edition
}

// Lapsed reports whether the edition's last day is over.
func (r *Release) Lapsed(now time.Time) bool {
	return r.Until != "" && now.Format(time.DateOnly) > r.Until
}

// Warning is what people should know about an edition now, "" when all is well. It is said from 60 days before the last day on.
func (r *Release) Warning(now time.Time) string {
	if r.Until == "" {
		return ""
	}
	last, err := time.Parse(time.DateOnly, r.Until)
	if err != nil {
		return ""
	}
	days := int(last.Sub(now.Truncate(24*time.Hour)).Hours() / 24)
	switch {
	case r.Lapsed(now) && r.Tier == Own:
		return fmt.Sprintf("%s %s ended on %s: it is not offered for new records any more. Import the edition you are licensed for.", r.Name, r.Version, r.Until)
	case r.Lapsed(now):
		return fmt.Sprintf("%s %s ended on %s. Import the edition in force.", r.Name, r.Version, r.Until)
	case days <= 60:
		return fmt.Sprintf("%s %s ends on %s, in %d days. Import the next edition before.", r.Name, r.Version, r.Until, days)
	}
	return ""
}

// current chooses the edition of a system: the one asked for, else of those in force today the latest, else the latest begun, else
// the latest at all.
func current(list []Release, url, version string, now time.Time) *Release {
	today := now.Format(time.DateOnly)
	var best *Release
	rank := func(r *Release) int {
		switch {
		case r.From > today:
			return 0
		case r.Lapsed(now):
			return 1
		}
		return 2
	}
	for i := range list {
		r := &list[i]
		if r.System != url {
			continue
		}
		if version != "" {
			if r.Version == version {
				return r
			}
			continue
		}
		if best == nil || rank(r) > rank(best) || rank(r) == rank(best) && (r.From > best.From || r.From == best.From && compareVersions(r.Version, best.Version) > 0) {
			best = r
		}
	}
	return best
}
