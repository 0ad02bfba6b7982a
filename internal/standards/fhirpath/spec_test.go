package fhirpath_test

import (
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// TestSpecification goes through the specification section by section. A line is an expression, "=>" and what it gives:
// items with commas between them, {} for nothing, ! for an error at compile time or evaluation. "P:" starts at the
// patient, "O:" at the observation, nothing has no resource. "strict" lines are evaluated with Env.Strict.
func TestSpecification(t *testing.T) {
	resources := map[string]*fhirjson.Node{"P:": mustParse(t, patient), "O:": mustParse(t, observation)}
	count, section := 0, ""
	for _, line := range strings.Split(specification+specificationTypes, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# "); ok {
			section = rest
			continue
		}
		count++
		src, want, ok := strings.Cut(line, " => ")
		if !ok {
			t.Fatalf("%s: no result: %s", section, line)
		}
		src, strict := strings.CutPrefix(src, "strict ")
		root := resources[src[:min(2, len(src))]]
		if root != nil {
			src = strings.TrimSpace(src[2:])
		}
		env := &fhirpath.Env{Model: model, Now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC), Strict: strict,
			Codes: func(vs, system, code string) (bool, bool) {
				return code == "29463-7" || code == "female", vs != "http://example.org/none"
			},
			Subsumes: func(_, a, b string) (bool, bool) { return strings.HasPrefix(b, a), true }}
		got := ""
		if e, err := fhirpath.Compile(src); err != nil {
			got = "!"
		} else if col, err := e.Eval(env, root, ""); err != nil {
			got = "!"
		} else {
			got = texts(col)
		}
		if got != strings.TrimSpace(want) {
			t.Errorf("%s: %s\n got %s, want %s", section, src, got, want)
		}
	}
	t.Logf("%d expressions", count)
}

const specification = `
# Path selection, singleton evaluation
P: Patient.name.family => Okafor
P: name.given.count() => 4
P: Patient.telecom.rank => 1
P: Patient.nothing => {}
P: (name | telecom).count() => 4
P: name.family + ' x' => Okafor x
P: name.given + 'x' => !
P: Patient.active and true => true
P: Patient.id and true => true
P: Patient.name and true => !
P: iif(Patient.name.family, 1, 2) => 1
# Literals
true => true
'x' => x
'it\'s' => it's
'a"b' => a"b
'a\"b' => a"b
'a\/b' => a/b
'a\\b' => a\b
'a\tb'.length() => 3
'\u0041' => A
'\u00e9' => é
'\ud83d\ude00'.length() => 1
'\p' => p
'\3' => 3
'\u005' => u005
0 => 0
45 => 45
-5 => -5
+5 => 5
1.50 => 1.50
@2024 => 2024
@2024-02-29 => 2024-02-29
@2023-02-29 => !
@2024-13 => !
@2024-01-01T => 2024-01-01
@2024-01-01T10 => 2024-01-01T10
@2024-01-01T10:30:15.5Z => 2024-01-01T10:30:15.5Z
@2024-01-01T24:00 => !
@T07:30 => 07:30
@T07:30Z => !
4 days => 4 days
1 year => 1 year
2.5 'mg' => 2.5 'mg'
4 'g/(8.h)' => 4 'g/(8.h)'
{} => {}
# Comments and white space
1 + /* two */ 1 => 2
1 + 1 // rest => 2
/* a */ 3 /* b */ => 3
1 /* open => !
// only => !
# Identifiers and keywords
P: Patient.'name' => !
P: {}.contains('a') => {}
P: contains.exists() => false
P: is.exists() => false
P: Patient.as.exists() => false
P: in.empty() => true
P: day.empty() => true
P: div => !
P: true.not() => false
$that => !
name. => !
.name => !
1.  => !
# Existence
{}.empty() => true
P: name.empty() => false
{}.exists() => false
P: name.exists(use = 'official') => true
P: name.exists(use = 'maiden') => false
P: name.all(given.exists()) => true
{}.all(false) => true
P: name.all(family.exists()) => false
{}.allTrue() => true
(true | false).allTrue() => false
{}.anyTrue() => false
(true | false).anyTrue() => true
{}.allFalse() => true
(false | true).allFalse() => false
{}.anyFalse() => false
(false | true).anyFalse() => true
1.allTrue() => !
{}.subsetOf(1) => true
(1 | 2).subsetOf(1 | 2 | 3) => true
(1 | 4).subsetOf(1 | 2 | 3) => false
1.subsetOf({}) => false
(1 | 2 | 3).supersetOf(2) => true
{}.supersetOf({}) => true
{}.count() => 0
1.combine(1).count() => 2
1.combine(1).distinct() => 1
1.combine(1).isDistinct() => false
{}.isDistinct() => true
('a' | 'A').isDistinct() => true
1.combine(1.0).distinct().count() => 1
# Filtering and projection
P: name.where(given = 'Ada').count() => 0
P: name.where(given contains 'Ada').count() => 1
P: name.where($index = 1).use => nickname
P: name.where({}).count() => 0
P: name.where(given).count() => !
P: telecom.where('yes').count() => 2
P: name.select(family) => Okafor
P: name.select(given.count()) => 2,2
P: name.given.select($this.length()) => 3,5,3
P: repeat(name).count() => 2
P: repeat($this).count() => 1
1.repeat($this + 1 - 1) => 1
P: name.ofType(HumanName).count() => 2
P: name.ofType(Address) => {}
(1 | 'a' | 2.0).ofType(Integer) => 1
(1 | 'a' | 2.0).ofType(System.String) => a
(1 | @2024 | true).ofType(Date) => 2024
P: gender.ofType(NoSuchType) => !
# Subsetting
(1 | 2 | 3)[0] => 1
(1 | 2 | 3)[3] => {}
(1 | 2 | 3)[-1] => {}
(1 | 2)['a'] => !
{}.single() => {}
1.single() => 1
(1 | 2).single() => !
{}.first() => {}
(3 | 1).first() => 3
(3 | 1).last() => 1
{}.last() => {}
(3 | 1 | 2).tail() => 1,2
1.tail() => {}
(1 | 2 | 3).skip(2) => 3
(1 | 2 | 3).skip(0) => 1,2,3
(1 | 2 | 3).skip(-1) => 1,2,3
(1 | 2 | 3).skip(9) => {}
(1 | 2 | 3).take(2) => 1,2
(1 | 2 | 3).take(0) => {}
(1 | 2 | 3).take(-2) => {}
(1 | 2).skip({}) => {}
(1 | 2 | 3).intersect(3 | 2 | 9) => 2,3
1.combine(1).intersect(1) => 1
(1 | 2 | 3).exclude(2) => 1,3
1.combine(1).combine(2).exclude(2) => 1,1
# Combining
1.combine(1).union({}) => 1
(1 | 1 | 2).count() => 2
1.combine(1).combine(2) => 1,1,2
(1 | {}) => 1
({} | {}) => {}
'a' | 'b' | 'a' => a,b
P: name.select(use.union(given)).count() => 6
# iif
iif(true, 1, 2) => 1
iif(false, 1, 2) => 2
iif({}, 1, 2) => 2
iif(false, 1) => {}
iif(true, 1, 1 / 'a') => 1
iif(false, 1 / 'a', 2) => 2
iif(1 | 2, 1, 2) => !
strict iif('a', 1, 2) => !
5.iif($this > 3, 'big', 'small') => big
(1 | 2).iif(true, 1, 2) => !
# Conversion to Boolean
'true'.toBoolean() => true
'T'.toBoolean() => true
'yEs'.toBoolean() => true
'y'.toBoolean() => true
'1'.toBoolean() => true
'1.0'.toBoolean() => true
'no'.toBoolean() => false
'N'.toBoolean() => false
'f'.toBoolean() => false
'0.0'.toBoolean() => false
'2'.toBoolean() => {}
'truth'.toBoolean() => {}
1.toBoolean() => true
0.toBoolean() => false
2.toBoolean() => {}
1.0.toBoolean() => true
0.0.toBoolean() => false
1.1.toBoolean() => {}
@2024.toBoolean() => {}
'maybe'.convertsToBoolean() => false
{}.convertsToBoolean() => {}
(1 | 0).toBoolean() => !
# Conversion to Integer and Decimal
'12'.toInteger() => 12
'+12'.toInteger() => 12
'-12'.toInteger() => -12
'--1'.toInteger() => {}
'1.0'.toInteger() => {}
' 1'.toInteger() => {}
''.toInteger() => {}
'2147483647'.toInteger() => 2147483647
'2147483648'.toInteger() => {}
true.toInteger() => 1
false.toInteger() => 0
1.5.toInteger() => {}
1.0.convertsToInteger() => false
'007'.toInteger() => 7
'1.50'.toDecimal() => 1.50
'.5'.toDecimal() => {}
'5.'.toDecimal() => {}
'1e3'.toDecimal() => {}
true.toDecimal() => 1.0
3.toDecimal() is Decimal => true
'abc'.convertsToDecimal() => false
# Conversion to String
true.toString() => true
1.0.toString() => 1.0
@2024-05.toString() => 2024-05
@T10:00.toString() => 10:00
@2024-05-01T10:00:00Z.toString() => 2024-05-01T10:00:00Z
3 days.toString() => 3 days
1.5 'mg'.toString() => 1.5 'mg'
P: name.first().toString() => {}
P: name.first().convertsToString() => false
P: birthDate.toString() => 1980-05
# Conversion to Date, DateTime, Time
'2024'.toDate() => 2024
'2024-02-30'.toDate() => {}
'2024-02-29'.toDate() is Date => true
'2024-2-9'.convertsToDate() => false
'@2024'.convertsToDate() => false
@2024-05-06T10:00:00.toDate() => 2024-05-06
'2024-05-06T10:00:00+02:00'.toDateTime() => 2024-05-06T10:00:00+02:00
'2024-05-06'.toDateTime() is DateTime => true
'2024-05-06T25:00'.toDateTime() => {}
@2024-05-06.toDateTime() is DateTime => true
'14:30:15.250'.toTime() => 14:30:15.250
'14'.toTime() => 14
'24:00'.toTime() => {}
'14:60'.convertsToTime() => false
@2024-05-06T10:00.toTime() => {}
1.toDate() => {}
# Conversion to Quantity
1.toQuantity() => 1 '1'
1.5.toQuantity() => 1.5 '1'
true.toQuantity() => 1.0 '1'
'5'.toQuantity() => 5 '1'
'5 \'mg\''.toQuantity() => 5 'mg'
'5\'mg\''.toQuantity() => 5 'mg'
'-5.5 days'.toQuantity() => -5.5 days
'5days'.toQuantity() => 5 days
'5 mg'.toQuantity() => {}
'5 \'mg'.toQuantity() => {}
'mg'.convertsToQuantity() => false
'1 \'kg\''.toQuantity('g') => 1000 'g'
'1 \'kg\''.toQuantity('m') => {}
3 hours.toQuantity('min') => 180 'min'
2 years.toQuantity('months') => 24 months
24 months.toQuantity('years') => 2 years
1 year.toQuantity('days') => 365 days
1 week.toQuantity('days') => 7 days
'1 \'kg\''.convertsToQuantity('g') => true
'1 \'kg\''.convertsToQuantity('s') => false
{}.convertsToQuantity() => {}
# String functions
'abcdef'.indexOf('cd') => 2
'abcdef'.indexOf('') => 0
'abcdef'.indexOf('x') => -1
'abcabc'.lastIndexOf('c') => 5
{}.indexOf('a') => {}
'abc'.indexOf({}) => {}
'añb😀c'.indexOf('c') => 4
'abcdef'.substring(3) => def
'abcdef'.substring(1, 2) => bc
'abcdef'.substring(6) => {}
'abcdef'.substring(-1) => {}
'abcdef'.substring(5, 9) => f
'abcdef'.substring({}) => {}
'abcdef'.substring(2, {}) => cdef
'abcdef'.substring(2, 0) = '' => true
'añb😀c'.substring(2, 2) => b😀
{}.substring(1) => {}
'abc'.startsWith('') => true
'abc'.startsWith('ab') => true
'abc'.startsWith({}) => {}
'abc'.endsWith('bc') => true
'abc'.endsWith('') => true
'abc'.contains('b') => true
'abc'.contains('B') => false
'aBc'.upper() => ABC
'ÄÖ'.lower() => äö
'aaa'.replace('a', 'bb') => bbbbbb
'abc'.replace('', '-') => -a-b-c-
'abc'.replace('b', '') => ac
'abc'.replace({}, 'x') => {}
'abc'.length() => 3
''.length() => 0
'😀'.length() => 1
'abc'.toChars() => a,b,c
' a b '.trim() => a b
'\t\r\na\n'.trim() => a
'a,b,,c'.split(',') => a,b,,c
'abc'.split('') => a,b,c
('a' | 'b').join('-') => a-b
('a' | 'b').join() => ab
{}.join(',') => {}
1.length() => !
('a' | 'b').upper() => !
# Regular expressions
'abc'.matches('b') => true
'abc'.matches('^b$') => false
'a\nb'.matches('a.b') => true
'ABC'.matches('abc') => false
'ABC'.matches('(?i)abc') => true
'abc'.matches('[') => !
'abc'.matches({}) => {}
'abc'.matchesFull('b') => false
'abc'.matchesFull('a.c') => true
'ab|cd'.matchesFull('ab|cd') => false
'11/30/1972'.replaceMatches('(?<m>\\d{1,2})/(?<d>\\d{1,2})/(?<y>\\d{4})', '${d}-${m}-${y}') => 30-11-1972
'abc'.replaceMatches('(b)', '[$1]') => a[b]c
'abc'.replaceMatches('', 'x') => abc
'a1b2'.replaceMatches('\\d', '') => ab
'abc'.replaceMatches('b', {}) => {}
# encode, decode, escape, unescape
'é'.encode('hex') => c3a9
'a?>b'.encode('base64') => YT8+Yg==
'a?>b'.encode('urlbase64') => YT8-Yg==
'YT8+Yg=='.decode('base64') => a?>b
'YT8-Yg=='.decode('urlbase64') => a?>b
'YT8-Yg'.decode('urlbase64') => a?>b
'c3a9'.decode('hex') => é
'zz'.decode('hex') => {}
{}.encode('hex') => {}
'<a & "b">'.escape('html') => &lt;a &amp; &quot;b&quot;&gt;
'&lt;a &amp; &quot;b&quot;&gt;'.unescape('html') => <a & "b">
'a"b\\c'.escape('json') => a\"b\\c
'a\\"b'.unescape('json') => a"b
# Math
(-5).abs() => 5
(-5.5).abs() => 5.5
(-5 'mg').abs() => 5 'mg'
1.1.ceiling() => 2
(-1.1).ceiling() => -1
1.9.floor() => 1
(-1.1).floor() => -2
1.9.truncate() => 1
(-1.9).truncate() => -1
1.9.truncate() is Integer => true
0.exp() => 1
1.exp().round(4) => 2.7183
1.ln() => 0
0.ln() => {}
(-1).ln() => {}
8.log(2) => 3
100.0.log(10.0) => 2
0.log(2) => {}
2.log({}) => {}
2.power(10) => 1024
2.power(-1) => 0.5
2.5.power(2) => 6.25
(-8).power(0.5) => {}
0.power(0) => 1
81.sqrt() => 9
(-1).sqrt() => {}
2.sqrt().round(3) => 1.414
1.round() => 1
3.14159.round(3) => 3.142
2.5.round() => 3
(-2.5).round() => -3
3.14159.round(-1) => !
3.14159.round({}) => {}
'a'.abs() => !
(1 | 2).abs() => !
{}.sqrt() => {}
# Arithmetic
1 + 1.5 => 2.5
'a' + 'b' => ab
'a' + {} => {}
'a' & {} => a
{} & {} = '' => true
1 + 'a' => !
5 - 7 => -2
2 * 3.5 => 7.0
6 / 4 => 1.5
6 / 0 => {}
4 / 2 is Decimal => true
7 div 2 => 3
-7 div 2 => -3
7.5 div 2 => 3
7 div 0 => {}
7 mod 3 => 1
-7 mod 3 => -1
7.5 mod 2 => 1.5
7 mod 0 => {}
2147483647 + 1 => {}
-2147483648 - 1 => {}
65536 * 65536 => {}
1 'kg' + 500 'g' = 1.5 'kg' => true
1 'kg' + 1 'm' => {}
3 'cm' * 2 => 6 'cm'
6 'cm2' / 2 'cm2' => 3 '1'
-(1 | 2) => !
-'a' => !
# Date and time arithmetic
@2024-01-31 + 1 month => 2024-02-29
@2023-01-31 + 1 month => 2023-02-28
@2024-02-29 + 1 year => 2025-02-28
@2024-02-29 - 4 years => 2020-02-29
@2024 + 24 months => 2026
@2024 + 23 months => 2025
@2024-03 - 1 year => 2023-03
@2024-03 + 40 days => 2024-04
@2024-03-01 - 1 day => 2024-02-29
@2024-03-01 + 1 week => 2024-03-08
@2024-03-01 + 23 hours => 2024-03-01
@2024-03-01 + 25 hours => 2024-03-02
@2024-12-31T23:59:59 + 1 second => 2025-01-01T00:00:00
@2024-01-01T00:00:00.000Z + 1500 milliseconds => 2024-01-01T00:00:01.500Z
@2024-01-01T10:00:00+02:00 + 1 hour => 2024-01-01T11:00:00+02:00
@2024-01-01T10 + 90 minutes => 2024-01-01T11
@2024-01-01 + 1.9 days => 2024-01-02
@2024-01-01 + 1 'd' => 2024-01-02
@2024-01-01 + 1 'mo' => !
@2024-01-01 + 1 'a' => !
@2024-01-01 + 1 'kg' => !
@2024-01-01 + 1 => !
@T23:00 + 2 hours => 01:00
@T10:00:00 - 1 second => 09:59:59
@T10:00 + 1 month => {}
@2024-01-01 + {} => {}
@0001-01-01 - 1 day => {}
# Equality
1 = 1.0 => true
'a' = 'A' => false
1 = '1' => false
true = true => true
{} = {} => {}
1 = {} => {}
(1 | 2) = (1 | 2) => true
(1 | 2) = (2 | 1) => false
(1 | 2) = 1 => false
@2024 = @2024 => true
@2024 = @2024-01 => {}
@2024 = @2025-01 => false
@2024-01-01 = @2024-01-01T00:00 => {}
@2024-01-01T10:00:00 = @2024-01-01T10:00:00.000 => true
@2024-01-01T10:00Z = @2024-01-01T12:00+02:00 => true
@2024-01-01T10:00Z = @2024-01-01T10:00 => {}
@T10:00 = @T10:00:00 => {}
@T10:00 = @2024 => false
1 'kg' = 1000 'g' => true
1 'kg' = 1 'm' => {}
1 year = 12 months => true
1 year = 1 'a' => {}
1 'd' = 1 day => true
1 = 1 '1' => true
1 != 2 => true
1 != {} => {}
P: name = name => true
P: name[0] = name[1] => false
# Equivalence
{} ~ {} => true
1 ~ {} => false
'abc  d' ~ 'ABC d' => true
'a\tb' ~ 'a b' => true
1.0 ~ 1 => true
1.01 ~ 1.0 => true
1.1 ~ 1.0 => true
1.1 ~ 1.2 => false
0.67 ~ (2 / 3) => true
(1 | 2) ~ (2 | 1) => true
(1 | 2) ~ (2 | 3) => false
@2024 ~ @2024-01 => false
@2024-01-01T10:00:00 ~ @2024-01-01T10:00:00.0 => true
1 year ~ 1 'a' => true
1 month ~ 1 'mo' => true
1 'kg' ~ 1000 'g' => true
1 'kg' ~ 1 'm' => false
1 !~ 2 => true
true ~ 'true' => false
P: name ~ name => true
# Comparison
1 < 2 => true
1 < 1.5 => true
'a' < 'b' => true
'Z' < 'a' => true
2 <= 2 => true
2 >= 3 => false
1 < 'a' => !
true > false => !
{} < 1 => {}
(1 | 2) < 3 => !
@2024 < @2025 => true
@2024 < @2024-06 => {}
@2024-01-01T10:00Z < @2024-01-01T11:30+02:00 => false
@T10:00 < @T10:30 => true
@T10 < @T10:30 => {}
1 'kg' > 999 'g' => true
1 'kg' > 1 'm' => {}
1 week > 6 days => true
1 year > 1 'a' => {}
# Membership
1 in (1 | 2) => true
3 in (1 | 2) => false
{} in (1 | 2) => {}
1 in {} => false
(1 | 2) in (1 | 2) => !
(1 | 2) contains 2 => true
(1 | 2) contains {} => {}
{} contains 1 => false
# Boolean logic
true and {} => {}
false and {} => false
{} and {} => {}
true or {} => true
false or {} => {}
true xor true => false
true xor {} => {}
true implies false => false
true implies {} => {}
false implies {} => true
{} implies true => true
{} implies false => {}
{}.not() => {}
(true | false).not() => !
# Precedence
1 + 2 * 3 => 7
(1 + 2) * 3 => 9
2 + 3 = 5 and true => true
true or true and false => true
1 | 2 + 3 => 1,5
-1 + 2 => 1
1 < 2 = true => true
true implies false or true => true
1 is Integer and true => true
'a' & 'b' = 'ab' => true
1 in 1 | 2 => true
# aggregate, $this, $index, $total
(1 | 2 | 3).aggregate($this + $total, 0) => 6
(1 | 2 | 3).aggregate(iif($total.empty(), $this, iif($this > $total, $this, $total))) => 3
{}.aggregate($this + $total, 7) => 7
{}.aggregate($this) => {}
('a' | 'b').select($index) => 0,1
(5 | 6).where($index > 0) => 6
# sort
(3 | 1 | 2).sort() => 1,2,3
(3 | 1 | 2).sort(-$this) => 3,2,1
(3 | 1 | 2).sort($this desc) => 3,2,1
(3 | 1 | 2).sort($this asc) => 1,2,3
P: telecom.sort(system).system => email,phone
P: telecom.sort(system desc).system => phone,email
# trace, now, today
P: name.given.trace('x').count() => 4
P: name.trace('x', given).count() => 2
now() = now() => true
today() => 2026-11-22
timeOfDay() => 12:00:00.000
now() is DateTime and today() is Date and timeOfDay() is Time => true
# defineVariable
1.defineVariable('x').select(%x + 1) => 2
1.defineVariable('x', 5).select(%x) => 5
1.defineVariable('x').defineVariable('x') => !
1.defineVariable('resource') => !
1.defineVariable('x') | 2.defineVariable('x') => 1,2
(1 | 2).select($this.defineVariable('y', $this * 2).select(%y)) => 2,4
1.select(defineVariable('z')) + %z => !
%unknown => !
`
