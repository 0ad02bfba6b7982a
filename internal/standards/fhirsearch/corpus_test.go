package fhirsearch

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/fhirjson"
)

// TestExtractCorpus extracts every record of the corpus and checks that the values are well formed.
func TestExtractCorpus(t *testing.T) {
	resources, values := 0, 0
	eachResource(t, 1, func(typ string, n *fhirjson.Node) {
		vs, err := Extract(typ, n)
		if err != nil {
			t.Error(err)
		}
		resources++
		values += len(vs)
		for _, v := range vs {
			if fault := malformed(v); fault != "" {
				t.Errorf("%s/%s: %s: %+v", typ, n.Get("id").Text(), fault, v)
			}
		}
		if d := SortDate(typ, n); d < 0 && d < -200*365*day {
			t.Errorf("%s/%s: clinical date %d", typ, n.Get("id").Text(), d)
		}
	})
	t.Logf("%d resources, %d values", resources, values)
}

func malformed(v Value) string {
	switch v.Kind {
	case Token:
		if v.System == "" && v.Code == "" {
			return "empty token"
		}
	case Reference:
		if (v.RefID == "") == (v.RefURL == "") {
			return "a reference needs an id or a URL, not both"
		}
		if v.RefID != "" && v.RefType == "" {
			return "local reference without type"
		}
	case URI, String:
		if v.Text == "" {
			return "empty text"
		}
	case Date:
		if v.Low >= v.High {
			return "empty interval"
		}
	case Number, Quantity:
		if v.NumLow > v.NumHigh || math.IsNaN(v.Num) {
			return "empty interval"
		}
	case Position:
	default:
		return "no kind"
	}
	if v.Param == "" || (v.Part == "") != (v.Group == 0) {
		return "no parameter, or a part without group"
	}
	return ""
}

// TestValuesAreFound asks for every extracted value of the corpus in the query language, in several ways,
// and expects the resource to match; and asks for a value it does not have.
func TestValuesAreFound(t *testing.T) {
	asked := 0
	eachResource(t, 150, func(typ string, n *fhirjson.Node) {
		vs, err := Extract(typ, n)
		if err != nil {
			t.Error(err)
		}
		many := map[string]int{}
		for _, v := range vs {
			many[v.Param+v.Modifier]++
		}
		for i, v := range vs {
			if v.Part != "" && (i == 0 || vs[i-1].Group != v.Group || vs[i-1].Param != v.Param) {
				asked += askComposite(t, typ, n, vs[i:])
			}
			if p := Lookup(typ, v.Param); v.Part != "" || v.RefID != "" && len(p.Targets) == 1 && p.Targets[0] != v.RefType {
				continue // some examples refer to types that R4 does not allow there
			}
			for _, x := range questions(v) {
				if !x.want && many[v.Param+v.Modifier] > 1 {
					continue // another value may answer
				}
				name := v.Param + x.modifier
				q, issues := ParseQuery(typ, map[string][]string{name: {x.value}})
				if len(issues) > 0 || len(q.Clauses) != 1 {
					t.Errorf("%s?%s=%s: %v", typ, name, x.value, issues)
					continue
				}
				asked++
				if Match(n, q.Clauses[0]) != x.want {
					t.Errorf("%s/%s: %s=%s should be %v\n value %+v\n term %+v", typ, n.Get("id").Text(), name, x.value, x.want, v, q.Clauses[0].Values)
				}
			}
		}
	})
	t.Logf("%d questions", asked)
}

// askComposite asks for the parts of the first group of vs together.
func askComposite(t *testing.T, typ string, n *fhirjson.Node, vs []Value) int {
	var parts []string
	for _, c := range Lookup(typ, vs[0].Param).Components {
		for _, v := range vs {
			if v.Param != vs[0].Param || v.Group != vs[0].Group || v.Part != c.Code {
				continue
			}
			if q := questions(v); len(q) > 0 && q[0].want {
				parts = append(parts, q[0].value)
				break
			}
		}
	}
	if len(parts) != len(Lookup(typ, vs[0].Param).Components) {
		return 0 // a part of a kind that questions leaves out
	}
	name, value := vs[0].Param, strings.Join(parts, "$")
	q, issues := ParseQuery(typ, map[string][]string{name: {value}})
	if len(issues) > 0 || len(q.Clauses) != 1 || !Match(n, q.Clauses[0]) {
		t.Errorf("%s/%s: %s=%s does not match (%v)", typ, n.Get("id").Text(), name, value, issues)
	}
	return 1
}

type question struct {
	modifier, value string
	want            bool
}

// questions are searches that a resource with the value must (or must not) answer.
func questions(v Value) []question {
	num := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	switch {
	case v.Modifier == "of-type":
		return []question{{":of-type", Escape(v.System) + "|" + Escape(v.Code) + "|" + Escape(v.Text), true}}
	case v.Modifier == "identifier":
		return []question{{":identifier", Escape(v.System) + "|" + Escape(v.Code), true}}
	case v.Modifier == "text":
		if len(Words(v.Text)) == 0 || strings.TrimSpace(v.Text) == "" {
			return nil
		}
		return []question{{":text", Escape(v.Text), true}, {":text", "zqxjzqxj", false}}
	case v.Kind == Token && v.Code != "":
		return []question{
			{"", Escape(v.Code), true}, {"", "zqxj," + Escape(v.Code), true}, {":not", Escape(v.Code), false}, {":missing", "false", true},
			{":missing", "true", false}, {"", Escape(v.System) + "|" + Escape(v.Code), true},
		}
	case v.Kind == Reference && v.RefID != "":
		return []question{{"", v.RefType + "/" + v.RefID, true}, {"", v.RefID, true}, {":" + v.RefType, v.RefID, true}, {"", v.RefType + "/zqxj", false}}
	case v.Kind == Reference && strings.Contains(v.RefURL, ":") && !strings.Contains(v.RefURL, "?"):
		return []question{{"", Escape(v.RefURL), true}}
	case v.Kind == URI:
		return []question{{"", Escape(v.Text), true}, {":below", Escape(v.Text), true}, {"", Escape(v.Text) + "zqxj", false}}
	case v.Kind == String && Fold(v.Text) != "":
		if strings.TrimSpace(v.Text) == "" {
			return nil
		}
		return []question{{"", Escape(v.Text), true}, {"", Escape(strings.ToUpper(Fold(v.Text))), true}, {":exact", Escape(v.Text), true}, {":contains", Escape(v.Text), true}, {"", "zqxj", false}}
	case v.Kind == Date && v.Low != always && v.High != never:
		low := time.UnixMicro(v.Low).UTC().Format("2006-01-02T15:04:05.000000Z")
		last := time.UnixMicro(v.High - 1).UTC().Format("2006-01-02T15:04:05.999999Z")
		early := time.UnixMicro(v.Low - 1).UTC().Format("2006-01-02T15:04:05.000000Z")
		return []question{{"", "ge" + low, true}, {"", "le" + last, true}, {"", "lt" + low, false}, {"", "sa" + early, true}, {"", "eb" + early, false}, {"", "gt" + last, false}}
	case v.Kind == Number && v.NumLow == v.NumHigh:
		s := num(v.Num)
		return []question{{"", s, true}, {"", "ge" + s, true}, {"", "le" + s, true}, {"", "gt" + s, false}, {"", "ne" + s, false}, {"", "ap" + s, true}}
	case v.Kind == Quantity && v.NumLow == v.NumHigh:
		s := num(v.Num)
		q := []question{{"", s, true}, {"", "ge" + s, true}, {"", "lt" + s, false}}
		if v.Code != "" {
			q = append(q, question{"", s + "|" + Escape(v.System) + "|" + Escape(v.Code), true}, question{"", s + "||" + Escape(v.Code), true}, question{"", s + "||zqxj", false})
		}
		return q
	}
	return nil
}
