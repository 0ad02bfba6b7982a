package apps

import (
	"slices"
	"strings"

	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/oauth"
	"yarrow.health/internal/web/ui"
)

// view is what the screen that asks shows. It knows nothing of who answers but their name, so that it serves patients as it serves
// staff.
type view struct {
	oauth.Question
	Sections               []section
	PatientID, PatientName string
	Own                    bool // the person asked is the patient
	Who                    string
}

// section is the switches about one record, or all, or the connection itself.
type section struct {
	Title string
	Note  string
	Lines []line
}

// line is one switch. Parts, when there are any, are switches for portions of it.
type line struct {
	Value string // the scopes it lets through, with spaces between
	Words string
	Write bool // lets the program change something
	Parts []line
}

// portion is a part of a type that a person may let through alone, by the categories of US Core.
type portion struct{ key, query string }

const (
	observationCategory = "category=http://terminology.hl7.org/CodeSystem/observation-category|"
	conditionCategory   = "category=http://terminology.hl7.org/CodeSystem/condition-category|"
	usCoreCategory      = "category=http://hl7.org/fhir/us/core/CodeSystem/"
)

var portions = map[string][]portion{
	"Observation": {{"vital-signs", observationCategory + "vital-signs"}, {"laboratory", observationCategory + "laboratory"},
		{"social-history", observationCategory + "social-history"}, {"survey", observationCategory + "survey"}, {"sdoh", usCoreCategory + "us-core-category|sdoh"}},
	"Condition": {{"problem-list-item", conditionCategory + "problem-list-item"}, {"encounter-diagnosis", conditionCategory + "encounter-diagnosis"},
		{"health-concern", usCoreCategory + "condition-category|health-concern"}},
}

// letters gives what stands behind the dot of a scope.
func letters(s oauth.Scope) string {
	text, _, _ := strings.Cut(s.Text, "?")
	return text[strings.LastIndexByte(text, '.')+1:]
}

// lettersV2 gives the letters of SMART 2, in which alone a query may follow.
func lettersV2(b auth.Bits) string { return b.String() }

// typesOf gives what a scope is shown as: its type, or for every type those that people know.
func typesOf(s oauth.Scope) []string {
	if s.Type == "*" {
		return oauth.Kinds
	}
	return []string{s.Type}
}

func textOf(s oauth.Scope, typ string) string {
	if s.Type == typ {
		return s.Text
	}
	return string(s.Level) + "/" + typ + "." + letters(s)
}

// partsOf gives the portions of a type that may be let through alone; none where the scope is narrow already.
func partsOf(s oauth.Scope, typ string) (out []portion) {
	if s.Params == "" {
		out = portions[typ]
	}
	return out
}

func partText(s oauth.Scope, typ string, p portion) string {
	return string(s.Level) + "/" + typ + "." + lettersV2(s.Bits) + "?" + p.query
}

// sections puts the scopes that were asked for into words.
func sections(q *ui.Request, question oauth.Question, patient string) (out []section) {
	for _, level := range []oauth.Level{oauth.LevelPatient, oauth.LevelUser} {
		sec := section{Title: q.T("apps.about.user")}
		if level == oauth.LevelPatient {
			sec.Title = q.T("apps.about.patient", patient)
		} else if question.Patient != "" || oauth.HasLevel(question.Scopes, oauth.LevelPatient) {
			sec.Title, sec.Note = q.T("apps.about.rest"), q.T("apps.about.rest.note")
		}
		for _, s := range question.Scopes {
			if s.Level != level {
				continue
			}
			for _, typ := range typesOf(s) {
				l := line{Value: textOf(s, typ), Words: sentence(q, s, typ), Write: s.Bits&^(auth.CanRead|auth.CanSearch) != 0}
				for _, p := range partsOf(s, typ) {
					l.Parts = append(l.Parts, line{Value: partText(s, typ, p), Words: q.T("apps.part." + p.key)})
				}
				if !slices.ContainsFunc(sec.Lines, func(o line) bool { return o.Value == l.Value }) {
					sec.Lines = append(sec.Lines, l)
				}
			}
		}
		if len(sec.Lines) > 0 {
			out = append(out, sec)
		}
	}
	sec := section{Title: q.T("apps.about.link")}
	var who []string
	for _, name := range []string{oauth.ScopeOpenID, oauth.ScopeFHIRUser, oauth.ScopeProfile} {
		if oauth.Has(question.Scopes, name) {
			who = append(who, name)
		}
	}
	if len(who) > 0 {
		sec.Lines = append(sec.Lines, line{Value: strings.Join(who, " "), Words: q.T("apps.who")})
	}
	for _, name := range []string{oauth.ScopeOffline, oauth.ScopeOnline} {
		if oauth.Has(question.Scopes, name) {
			sec.Lines = append(sec.Lines, line{Value: name, Words: q.T("apps." + name)})
		}
	}
	if len(sec.Lines) > 0 {
		out = append(out, sec)
	}
	return out
}

// sentence is a scope on a type in plain words: "See medicines", "See, add and change allergies".
func sentence(q *ui.Request, s oauth.Scope, typ string) string {
	noun := q.T("apps.type." + typ)
	if strings.HasPrefix(noun, "⟨") {
		noun = q.T("apps.type.other", typ)
	}
	if s.Params != "" {
		noun = q.T("apps.type.some", noun, partWords(q, s, typ))
	}
	see, write, remove := s.Bits&(auth.CanRead|auth.CanSearch) != 0, s.Bits&(auth.CanCreate|auth.CanUpdate) != 0, s.Bits&auth.CanDelete != 0
	switch {
	case see && write && remove:
		return q.T("apps.do.all", noun)
	case see && write:
		return q.T("apps.do.both", noun)
	case write && remove:
		return q.T("apps.do.writedelete", noun)
	case write:
		return q.T("apps.do.write", noun)
	case see && remove:
		return q.T("apps.do.seedelete", noun)
	case remove:
		return q.T("apps.do.delete", noun)
	}
	return q.T("apps.do.see", noun)
}

// partWords says which part of a type a scope is narrowed to: in words where it is one we know, else as it was written.
func partWords(q *ui.Request, s oauth.Scope, typ string) string {
	_, query, _ := strings.Cut(s.Text, "?")
	for _, p := range portions[typ] {
		if query == p.query || query == "category="+p.query[strings.LastIndexByte(p.query, '|')+1:] {
			return q.T("apps.part." + p.key)
		}
	}
	return query
}

// picked gives the scopes that the switches let through. A scope all of whose lines are on is let through as it was asked for, and
// one some of whose portions are off as the portions that are on.
func picked(asked []oauth.Scope, on []string) (out []string) {
	is := func(v string) bool { return slices.Contains(on, v) }
	for _, s := range asked {
		if s.Level == "" {
			for _, v := range on {
				if slices.Contains(strings.Fields(v), s.Text) {
					out = append(out, s.Text)
					break
				}
			}
			continue
		}
		whole := true
		var some []string
		for _, typ := range typesOf(s) {
			text := textOf(s, typ)
			if !is(text) {
				whole = false
				continue
			}
			var parts []string
			all := partsOf(s, typ)
			for _, p := range all {
				if v := partText(s, typ, p); is(v) {
					parts = append(parts, v)
				}
			}
			switch {
			case len(parts) == len(all):
				some = append(some, text)
			default:
				whole = false
				some = append(some, parts...)
			}
		}
		if whole {
			some = []string{s.Text}
		}
		out = append(out, some...)
	}
	return out
}

// summary is what a grant lets a program do, in a few words for lists.
func summary(q *ui.Request, scopes []oauth.Scope) string {
	var out []string
	more := 0
	for _, s := range scopes {
		if s.Level == "" {
			continue
		}
		words := q.T("apps.type.everything")
		if s.Type != "*" {
			if words = q.T("apps.type." + s.Type); strings.HasPrefix(words, "⟨") {
				words = q.T("apps.type.other", s.Type)
			}
		}
		switch {
		case slices.Contains(out, words):
		case len(out) >= 4:
			more++
		default:
			out = append(out, words)
		}
	}
	text := strings.Join(out, ", ")
	if more > 0 {
		text += " " + q.T("apps.more", more)
	}
	return text
}
