package profile

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpath"
)

// Validator judges resources. Its fields are set before use and then only read; it is safe for concurrent use.
// The zero Validator knows R4 alone.
type Validator struct {
	Profiles *Set // the definitions it knows; nil is Builtin

	// Codes answers whether a code is in a value set (canonical URL, perhaps with |version), or with an empty
	// valueSet whether the system has the code. An empty system stands for an element of type code, whose system the
	// value set tells. known is false when this cannot be told. nil knows only what R4 and US Core enumerate.
	Codes func(valueSet, system, code string) (ok, known bool)

	// Displays returns the names that a code of a system may be shown by, its designations with them; none if they are
	// not known. nil knows none, and names are not judged.
	Displays func(system, code string) []string

	// Find returns a stored resource by canonical URL (Questionnaire, Measure), or nil.
	Find func(canonical string) *fhirjson.Node

	// Resolve returns what a literal reference outside the document names, or nil if it is not here.
	Resolve func(reference string) *fhirjson.Node
}

// Options says how one document is judged.
type Options struct {
	Profiles []string // canonical URLs it must conform to beside those of its meta.profile
	Entries  []Entry  // what entries of the Bundle must conform to
	NoMeta   bool     // do not check the profiles that meta.profile declares
	Declared Policy   // how faults against the profiles of meta.profile are taken; Refuse by default, Warn makes them warnings

	Structured bool // fhir.Validate found no errors already, so it is not asked again

	// Light checks structure and codes only: for imports of what others wrote long ago.
	Light bool

	// Strict counts as errors what readers of a document can live with, as HL7's own validator does: for authors of
	// guides and for tests.
	Strict bool

	Markup            Policy    // about text that looks like HTML markup; Warn by default
	ExtensionDomains  []string  // how addresses begin whose extensions are accepted although nobody defined them
	UnknownExtensions Policy    // what to say about an extension nobody defined; Ignore by default
	UnknownProfiles   Policy    // about a profile that is not known; Warn by default
	Examples          bool      // accept example.org addresses
	BestPractice      bool      // also say what R4 only recommends (dom-6)
	Now               time.Time // for now() in invariants; zero leaves it empty
}

// Entry asks that an entry of a Bundle conforms to a profile: of the entries whose resource is of Type, that at Index,
// counted from 0.
type Entry struct {
	Type    string
	Index   int
	Profile string
}

// Policy says how strictly something is taken.
type Policy uint8

// The policies. Default is what the option's own documentation says.
const (
	Default Policy = iota
	Ignore
	Warn
	Refuse
)

// maxWork bounds one document: elements visited and rules tried, about a second in all.
const maxWork = 2_000_000

// maxIssues bounds the answer about one document.
const maxIssues = 200

// Validate judges a resource and everything in it. Issues carry path, place (see fhir.Issues.Locate) and remedy; what
// has one cause is one issue. Texts hold no values of the document. A result without errors may hold warnings.
func (v *Validator) Validate(n *fhirjson.Node, o Options) fhir.Issues {
	var issues fhir.Issues
	if !o.Structured {
		issues = fhir.Validate(n)
	}
	if !fhir.IsResourceType(n.Get("resourceType").Text()) {
		return issues
	}
	r := &run{v: v, o: o, set: v.set(), left: maxWork, root: n}
	if o.UnknownProfiles == Default {
		r.o.UnknownProfiles = Warn
	}
	r.add(issues)
	r.document(n)
	return r.finish()
}

func (v *Validator) set() *Set {
	if v.Profiles != nil {
		return v.Profiles
	}
	return Builtin()
}

// run is the work on one document.
type run struct {
	v    *Validator
	o    Options
	set  *Set
	root *fhirjson.Node

	issues           fhir.Issues
	errors, warnings int

	mild   bool // errors count as warnings: they are against a profile that the practice only wants to be warned about
	silent int  // > 0: only whether there is an error matters
	failed bool // an error was found while silent
	why    string
	left   int // work left
	path   []place
	res    []scope // the resources on the way, innermost last
	busy   []visit // profile checks under way, against circles
	env    fhirpath.Env

	misnamed   []misnamed
	undeclared bool // a profile of vital signs is being checked that the Observation does not declare
}

// place is one step to the value at hand.
type place struct {
	name  string
	index int // -1 if it does not repeat
}

// scope is a resource on the way to the value at hand.
type scope struct {
	node   *fhirjson.Node
	bundle *bundle // the innermost Bundle around it, or nil
	base   string  // fullUrl of its entry
	seen   *inside // what is in it, worked out when first needed
}

type visit struct {
	node *fhirjson.Node
	root *node
}

func (r *run) push(name string, index int) { r.path = append(r.path, place{name, index}) }
func (r *run) pop()                        { r.path = r.path[:len(r.path)-1] }

// spend takes one unit of work and reports whether there is some left.
func (r *run) spend() bool {
	r.left--
	if r.left == 0 {
		r.silent = 0
		r.issues = append(r.issues, fhir.Issue{Severity: "error", Code: "too-costly", Text: "This document needs more work than one check may take.",
			Fix: "Split it into smaller resources."})
	}
	return r.left > 0
}

// charged is spend after more than one unit of work was taken from left.
func (r *run) charged() bool {
	r.left = max(r.left, 1)
	return r.spend()
}

// report adds an issue at the current path plus suffix.
func (r *run) report(severity, code string, n *fhirjson.Node, text, fix string) {
	if r.silent > 0 {
		if severity == "error" && !r.failed {
			r.failed, r.why = true, r.at()+": "+text
		}
		return
	}
	if severity == "error" && r.mild {
		severity = "warning"
	}
	if severity != "error" {
		if r.warnings++; r.warnings > maxIssues {
			return
		}
	} else if r.errors++; r.errors > maxIssues {
		if r.errors == maxIssues+1 {
			r.issues = append(r.issues, fhir.Issue{Severity: "error", Code: "too-costly", Text: "There are more faults than the " + strconv.Itoa(maxIssues) + " shown.", Fix: "Correct these first, then check again."})
		}
		return
	}
	i := fhir.Issue{Severity: severity, Code: code, Text: text, Fix: fix, Path: r.at()}
	r.issues = append(r.issues, *i.On(n))
}

func (r *run) fail(code string, n *fhirjson.Node, text, fix string) {
	r.report("error", code, n, text, fix)
}

func (r *run) warn(code string, n *fhirjson.Node, text, fix string) {
	r.report("warning", code, n, text, fix)
}

// by reports with the severity of a policy.
func (r *run) by(p Policy, code string, n *fhirjson.Node, text, fix string) {
	switch p {
	case Refuse:
		r.fail(code, n, text, fix)
	case Warn:
		r.warn(code, n, text, fix)
	}
}

func (r *run) add(issues fhir.Issues) { r.issues = append(r.issues, issues...) }

// at writes the current path: Patient.name[1].given[0].
func (r *run) at() string {
	var b []byte
	for i, s := range r.path {
		if i > 0 {
			b = append(b, '.')
		}
		b = append(b, s.name...)
		if s.index >= 0 {
			b = append(b, '[')
			b = strconv.AppendInt(b, int64(s.index), 10)
			b = append(b, ']')
		}
	}
	return string(b)
}

// quiet runs f and reports whether it found no error, without keeping issues.
func (r *run) quiet(f func()) bool {
	failed, full := r.failed, r.silent
	r.silent, r.failed = full+1, false
	f()
	ok := !r.failed
	r.silent, r.failed = full, failed
	return ok && r.left > 0
}

// finish groups issues: the same fault found by several profiles or rules at one place is one issue, and what follows
// from a fault in the structure there is left out.
func (r *run) finish() fhir.Issues {
	type cause struct{ path, code, text string }
	seen := map[cause]bool{}
	missing := map[string]bool{}
	var out fhir.Issues
	for _, i := range r.issues {
		c := cause{i.Path, i.Code, i.Text}
		if seen[c] || i.Code == "required" && missing[i.Path] {
			continue
		}
		seen[c] = true
		if i.Code == "required" {
			missing[i.Path] = true
		}
		out = append(out, i)
	}
	slices.SortStableFunc(out, func(a, b fhir.Issue) int { return rank(a.Severity) - rank(b.Severity) })
	return out
}

func rank(severity string) int {
	switch severity {
	case "", "fatal", "error":
		return 0
	case "warning":
		return 1
	}
	return 2
}

// document judges the outermost resource.
func (r *run) document(n *fhirjson.Node) {
	r.push(n.Get("resourceType").Text(), -1)
	r.resource(n, nil, "", r.o.Profiles)
	r.names()
}

// resource judges a resource at the current path.
func (r *run) resource(n *fhirjson.Node, in *bundle, base string, profiles []string) {
	typ := n.Get("resourceType").Text()
	k := kinds()[typ]
	if k == nil || n.Kind() != fhirjson.Object {
		return
	}
	here := scope{node: n, bundle: in, base: base, seen: &inside{}}
	if typ == "Bundle" {
		here.bundle = newBundle(n)
	}
	r.res = append(r.res, here)
	saved := r.env
	r.env = fhirpath.Env{Model: model, Resource: n, RootResource: n, Now: r.o.Now, Resolve: r.follow, Steps: 200_000, ManyAs: true, Codes: r.coded, Conforms: r.conformsTo}
	r.object(n, k)
	if !r.o.Light {
		if typ == "Bundle" {
			r.bundleRules(n, here.bundle)
		}
		r.answers(n, typ)
		if typ == "MeasureReport" {
			r.measured(n)
		}
		r.design(n, typ)
		r.identities(n)
	}
	r.declared(n, profiles)
	r.env = saved
	r.res = r.res[:len(r.res)-1]
}

// declared checks the profiles that the resource claims and those asked for.
func (r *run) declared(n *fhirjson.Node, profiles []string) {
	all := profiles
	if !r.o.NoMeta {
		for _, p := range n.At("meta", "profile").Items() {
			if !slices.Contains(all, p.Text()) {
				all = append(all[:len(all):len(all)], p.Text())
			}
		}
	}
	typ := n.Get("resourceType").Text()
	if r.o.Strict && typ == "Observation" {
		for _, url := range vitalSigns(n) {
			if d := r.set.Find(url); d != nil && !slices.Contains(all, url) {
				r.undeclared = true
				r.conform(n, nil, typ, d)
				r.undeclared = false
			}
		}
	}
	for _, url := range all {
		asked := slices.Contains(profiles, url)
		d := r.set.Find(url)
		switch {
		case d == nil && strings.HasPrefix(url, structureBase) && fhir.Definition(bare(url)[len(structureBase):]) != nil:
			if name := bare(url)[len(structureBase):]; !model.IsSubtype(typ, name) {
				r.fail("value", n, "The resource says it is a "+name+", but is a "+typ+".", "Correct meta.profile.")
			}
		case d == nil && asked:
			r.fail("not-found", n, "The profile "+shown(url)+" is not known here, so it cannot be checked.", "Import the guide that defines it (yarrow import guide), or name another profile.")
		case d == nil:
			r.by(r.o.UnknownProfiles, "not-found", n.At("meta", "profile"), "The profile "+shown(url)+" is not known here, so it was not checked.", "Import the guide that defines it (yarrow import guide), or remove it from meta.profile.")
		case d.Type != typ:
			r.fail("value", n, "The profile "+shown(url)+" is for "+d.Type+", not for "+typ+".", "Name a profile for "+typ+".")
		default:
			mild := r.mild
			r.mild = !asked && r.o.Declared == Warn
			r.conform(n, nil, typ, d)
			r.mild = mild
		}
	}
}

// conform checks a value against a definition unless that is under way already.
func (r *run) conform(n, extra *fhirjson.Node, typ string, d *Definition) {
	t := r.set.tree(d)
	at := n
	if at == nil {
		at = extra
	}
	for _, b := range r.busy {
		if b.node == at && b.root == t.root {
			return
		}
	}
	if len(t.lost) > 0 {
		r.by(r.o.UnknownProfiles, "not-found", at, "The profile "+shown(d.URL)+" stands on "+shown(t.lost[0])+", which is not known here, so only a part was checked.", "Import the guide that defines it (yarrow import guide).")
	}
	r.busy = append(r.busy, visit{at, t.root})
	if t.root.whole {
		defer r.enter(n)()
	}
	r.check(value{n, extra, typ}, t.root)
	r.busy = r.busy[:len(r.busy)-1]
}

// shown is a URL as it may be written into a message: it comes from the document, so it is cut short.
func shown(url string) string {
	if len(url) > 200 {
		return url[:200] + "…"
	}
	return url
}
