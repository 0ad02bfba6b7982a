package fhirpath_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// texts joins the items of a result with commas, "{}" for empty.
func texts(c fhirpath.Collection) string {
	if len(c) == 0 {
		return "{}"
	}
	var s []string
	for _, it := range c {
		s = append(s, it.String())
	}
	return strings.Join(s, ",")
}

func TestEval(t *testing.T) {
	resources := map[byte]*fhirjson.Node{'P': mustParse(t, patient), 'O': mustParse(t, observation)}
	for _, x := range []struct{ on, expr, want string }{
		// paths
		{"P", "Patient.name.given", "Ada,Ngozi,Ade,"},
		{"P", "Resource.id", "p1"},
		{"P", "Observation.id", "{}"},
		{"P", "name.given[1]", "Ngozi"},
		{"P", "name[5].given", "{}"},
		{"P", "`name`.`family`", "Okafor"},
		{"P", "name.where(use = 'official').given.first()", "Ada"},
		{"P", "telecom.where(system='phone').value", "555-0100"},
		{"P", "deceased", "false"},
		{"P", "deceased.exists() and deceased != false", "false"},
		{"P", "multipleBirth is integer", "true"},
		{"P", "contained.name", "Yarrow Field Clinic"},
		{"P", "%resource.id & '!'", "p1!"},
		// primitives and their siblings
		{"P", "birthDate.extension('http://hl7.org/fhir/StructureDefinition/patient-birthTime').value", "1980-05-11T04:30:00+02:00"},
		{"P", "name.given.extension.value", "unknown"},
		{"P", "name.given.extension.value is code", "true"},
		{"P", "birthDate.descendants().count()", "3"},
		{"P", "name.given.hasValue()", "false"},
		{"P", "name.given.where(hasValue()).count()", "3"},
		{"P", "name[1].given.select(hasValue())", "true,false"},
		// choices
		{"O", "Observation.value.unit", "kg"},
		{"O", "(Observation.value as Quantity).value", "1.50"},
		{"O", "value.ofType(string)", "{}"},
		{"O", "value is Quantity", "true"},
		{"O", "component.value.ofType(integer)", "7"},
		{"O", "component.select(value is string)", "true,false"},
		{"O", "value.value.toString()", "1.50"},
		// references
		{"P", "generalPractitioner.where(resolve() is Organization).reference", "http://other.example/fhir/Organization/9"},
		{"P", "managingOrganization.resolve().name", "Yarrow Field Clinic"},
		{"P", "managingOrganization.resolve() is Organization", "true"},
		{"O", "subject.where(resolve() is Patient).exists()", "true"},
		{"O", "subject.where(resolve() is Group).exists()", "false"},
		// decimals
		{"O", "0.1 + 0.2 = 0.3", "true"},
		{"O", "1.50 = 1.5", "true"},
		{"O", "1.50 ~ 1.5", "true"},
		{"O", "1.55 ~ 1.5", "false"},
		{"O", "1.0 / 3", "0.3333333333333333333333333333333333333333"},
		{"O", "7 div 2", "3"},
		{"O", "-7 mod 3", "-1"},
		{"O", "1 / 0", "{}"},
		{"O", "2.power(0.5).round(4)", "1.4142"},
		{"O", "100.ln() > 4.6051 and 100.ln() < 4.6052", "true"},
		{"O", "1000.log(10)", "3"},
		{"O", "(2.5).round()", "3"},
		{"O", "9223372036854775807 + 1", "{}"},
		{"O", "value < 2000 'g'", "true"},
		{"O", "value > 3 's'", "{}"},
		{"O", "value = 1500 'g'", "true"},
		{"O", "referenceRange.all(low <= high)", "true"},
		{"O", "2.0 'cm' * 2.0 'm' = 0.040 'm2'", "true"},
		{"O", "1 'm' / 1 'cm' = 100 '1'", "true"},
		// dates
		{"P", "birthDate > @1980-05-10", "{}"},
		{"P", "birthDate < @1980-06", "true"},
		{"P", "birthDate = @1980-05", "true"},
		{"P", "birthDate = @1980-05-01", "{}"},
		{"O", "effective > @2024-03-05T10:00:00+01:00", "true"},
		{"O", "effective > @2024-03-05T09:29:59.999Z", "true"},
		{"O", "effective < @2024-03-05T09:30:00", "{}"},
		{"O", "effective < @2024-03-09T09:30:00", "true"},
		{"O", "now()", "2026-11-22T12:00:00.000Z"},
		{"O", "today() - 1 month", "2026-10-22"},
		{"O", "@2024-01-31 + 1 month", "2024-02-29"},
		{"O", "@2024-02-29 + 1 year", "2025-02-28"},
		{"O", "@T23:30 + 45 minutes", "00:15"},
		{"O", "@9999-12-31 + 1 day", "{}"},
		// logic
		{"O", "{} and false", "false"},
		{"O", "{} or true", "true"},
		{"O", "{} xor true", "{}"},
		{"O", "false implies {}", "true"},
		{"O", "{} = {}", "{}"},
		{"O", "({} ~ {})", "true"},
		{"O", "1 | 2 | 1", "1,2"},
		{"O", "(1 | 2) = (2 | 1)", "false"},
		{"O", "(1 | 2) ~ (2 | 1)", "true"},
		{"O", "2 in (1 | 2) and (1 | 2) contains 1", "true"},
		{"O", "1 + 2 * 3 = 7 and 'a' & 'b' = 'ab'", "true"},
		{"O", "-1.abs() = -1", "true"},
		{"O", "1 is System.Integer and 1 is Integer", "true"},
		{"O", "status is code and status is string", "true"},
		{"O", "status.ofType(string)", "{}"},
		// functions
		{"P", "name.select(given.first() + '.')", "Ada.,Ade."},
		{"P", "name.given.aggregate($total + 1, 0)", "4"},
		{"P", "name.given.select($index)", "0,1,2,3"},
		{"P", "iif(active, 'yes', 1/0)", "yes"},
		{"P", "descendants().where($this is Reference).count()", "4"},
		{"P", "name.given.where(hasValue()).sort(-$this).first()", "Ngozi"},
		{"P", "'a,b'.split(',').join('-')", "a-b"},
		{"P", "'Grün'.length() + 'Grün'.indexOf('n')", "7"},
		{"P", "'2024-03-05'.replaceMatches('(\\\\d+)-(\\\\d+)-(\\\\d+)', '$3/$2/$1')", "05/03/2024"},
		{"P", "'abc'.matches('b')", "true"},
		{"P", "'abc'.matchesFull('b')", "false"},
		{"P", "name.defineVariable('n').select(%n.given.count())", "4,4"},
		{"P", "(1 | 2).combine(2).isDistinct()", "false"},
		{"P", "repeat(contained).name", "Yarrow Field Clinic"},
		{"P", "'10 \\'mg\\''.toQuantity()", "10 'mg'"},
		{"P", "'<div xmlns=\"http://www.w3.org/1999/xhtml\"><p onclick=\"x\">a</p></div>'.htmlChecks()", "false"},
		{"P", "'<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>a</p></div>'.htmlChecks()", "true"},
	} {
		e, err := fhirpath.Compile(x.expr)
		if err != nil {
			t.Errorf("%s: %v", x.expr, err)
			continue
		}
		env := &fhirpath.Env{Model: model, Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
		got, err := e.Eval(env, resources[x.on[0]], "")
		if err != nil {
			t.Errorf("%s: %v", x.expr, err)
		} else if texts(got) != x.want {
			t.Errorf("%s: got %s, want %s", x.expr, texts(got), x.want)
		}
	}
}

func TestCompileErrors(t *testing.T) {
	for _, x := range []struct{ expr, want string }{
		{"", "1:1: expected an expression but found end"},
		{"a.", "1:3: expected a name but found end"},
		{"memberof('x')", "1:1: unknown function memberof(); did you mean memberOf()?"},
		{"name.startswith('x')", "1:6: unknown function startswith(); did you mean startsWith()?"},
		{"a = 'x", "1:5: text is not closed with '"},
		{"a\n  = @2024-13", "2:5: @2024-13 is not a valid date"},
		{"first(1)", "1:1: first() takes 0 arguments, not 1"},
		{"a b", `1:3: unexpected "b" after the end of the expression`},
		{"a /* x", "1:3: comment is not closed with */"},
		{"a.matches('(')", "1:3: matches(): bad regular expression"},
		{"$that", "1:1: $that is not $this, $index or $total"},
		{strings.Repeat("(", 1000), "expression is nested more than 200 deep"},
		{strings.Repeat("-", 1000) + "1", "expression is nested more than 200 deep"},
		{"a.matches('((((a{50}){50}){50}){50})')", "matches(): bad regular expression"},
		{"a # b", `1:3: unexpected character '#'`},
	} {
		_, err := fhirpath.Compile(x.expr)
		var e *fhirpath.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%.40q: got %v, want %s", x.expr, err, x.want)
		}
	}
}

// TestBudget gives expressions that would run for hours.
func TestBudget(t *testing.T) {
	n := mustParse(t, patient)
	for _, src := range []string{
		"descendants().select(%resource.descendants().select(%resource.descendants().select(%resource.descendants())))",
		"(1|2|3|4|5|6|7|8|9|10).aggregate($total.combine($total).combine($total).combine(1)).aggregate($total.combine($total).combine($total).combine(1), %resource.descendants().combine(%resource.descendants()))",
		"descendants().aggregate($total & $total & 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'a')",
		"descendants().aggregate($total.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaa'), 'a')",
	} {
		_, err := mustCompile(t, src).Eval(&fhirpath.Env{Model: model, Steps: 200_000}, n, "")
		if !errors.Is(err, fhirpath.ErrTooMuchWork) {
			t.Errorf("%s: got %v, want ErrTooMuchWork", src, err)
		}
	}
}

func TestTypeOfReference(t *testing.T) {
	for ref, want := range map[string]string{
		"Patient/1": "Patient", "http://x/fhir/Patient/1/_history/2": "Patient", "Patient/1/_history/3": "Patient",
		"urn:uuid:1-2": "", "#p1": "", "Patient": "", "": "", "http://x/questionnaires/1": "",
		"Practitioner?identifier=http://x|1": "Practitioner", "http://x/StructureDefinition/a|1.0": "",
	} {
		if got := fhirpath.TypeOfReference(ref); got != want {
			t.Errorf("%s: got %q, want %q", ref, got, want)
		}
	}
}

func TestQuantitiesCompareInAnyUnit(t *testing.T) {
	for src, want := range map[string]string{
		"98.6 '[degF]' = 37 'Cel'": "true", "3 'm[IU]/L' < 4 '[iU]/L'": "true", "3 '[iU]' = 3 '[arb\\'U]'": "", "120 'mm[Hg]' > 10 'kPa'": "true",
		"1 '10*3/uL' = 1 '10*9/L'": "true", "3 'min' = 180 seconds": "true", "5 'mg' < 5 'mL'": "", "70 'kg' > 100 '[lb_av]'": "true",
	} {
		e, err := fhirpath.Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Eval(&fhirpath.Env{}, nil, "")
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		s := ""
		if len(got) == 1 {
			s = got[0].String()
		}
		if s != want {
			t.Errorf("%s = %q, want %q", src, s, want)
		}
	}
}
