package fhirpath

import (
	"errors"
	"fmt"
)

// function is one entry of the library. run gets the evaluated input; arguments are evaluated by run, so
// that lambdas and iif() decide how.
type function struct {
	min, max int
	typeArg  bool // the only argument is a type name
	run      func(c *evaluator, f *call, in Collection) (Collection, error)
}

// call is of.name(args) or name(args).
type call struct {
	of   node
	f    *function
	name string
	args []node
	typ  typeSpec
	re   *pattern // compiled when the pattern is a literal
}

func (f *call) eval(c *evaluator) (Collection, error) {
	in := c.focus
	if f.of != nil {
		var err error
		if in, err = f.of.eval(c); err != nil {
			return nil, err
		}
	}
	if err := c.spend(1); err != nil {
		return nil, err
	}
	if c.env.Strict {
		switch f.name {
		case "first", "last", "tail", "skip", "take":
			if unordered(f.of) {
				return nil, fmt.Errorf("%s(): children and descendants have no order", f.name)
			}
		}
	}
	out, err := f.f.run(c, f, in)
	if err != nil && !errors.Is(err, ErrTooMuchWork) {
		return nil, fmt.Errorf("%s(): %w", f.name, err)
	}
	return out, err
}

// unordered reports whether n gives items whose order the specification leaves open.
func unordered(n node) bool {
	f, ok := n.(*call)
	return ok && (f.name == "children" || f.name == "descendants")
}

// prepare does at compile time what depends on literal arguments only.
func (f *call) prepare() error {
	if (f.name == "matches" || f.name == "matchesFull" || f.name == "replaceMatches") && len(f.args) > 0 {
		if l, ok := f.args[0].(*literal); ok && len(l.value) == 1 && l.value[0].sys == sysString {
			re, err := compilePattern(l.value[0].text, f.name == "matchesFull")
			f.re = re
			return err
		}
	}
	if f.name == "ofType" || f.name == "as" || f.name == "is" {
		return errors.New("a type name is needed")
	}
	return nil
}

// functions is the library: FHIRPath N1, R4's additions and those of the next version that R4 tests use.
var functions = map[string]*function{
	// existence
	"empty":      {run: runEmpty},
	"exists":     {max: 1, run: runExists},
	"all":        {min: 1, max: 1, run: runAll},
	"allTrue":    {run: runTruths(isFalse, false)},
	"allFalse":   {run: runTruths(isTrue, false)},
	"anyTrue":    {run: runTruths(isTrue, true)},
	"anyFalse":   {run: runTruths(isFalse, true)},
	"subsetOf":   {min: 1, max: 1, run: runSubsetOf},
	"supersetOf": {min: 1, max: 1, run: runSupersetOf},
	"count":      {run: runCount},
	"distinct":   {run: func(c *evaluator, _ *call, in Collection) (Collection, error) { return c.distinct(in) }},
	"isDistinct": {run: runIsDistinct},
	"not":        {run: runNot},
	"hasValue":   {run: runHasValue},
	"getValue":   {run: runGetValue},
	"coalesce":   {min: 1, max: 50, run: runCoalesce},

	// filtering, projection, subsetting
	"where":          {min: 1, max: 1, run: runWhere},
	"select":         {min: 1, max: 1, run: runSelect},
	"repeat":         {min: 1, max: 1, run: runRepeat},
	"ofType":         {typeArg: true, run: func(c *evaluator, f *call, in Collection) (Collection, error) { return c.ofType(in, f.typ) }},
	"as":             {typeArg: true, run: func(c *evaluator, f *call, in Collection) (Collection, error) { return c.asType(in, f.typ) }},
	"is":             {typeArg: true, run: func(c *evaluator, f *call, in Collection) (Collection, error) { return c.isType(in, f.typ) }},
	"single":         {run: runSingle},
	"first":          {run: runFirst},
	"last":           {run: runLast},
	"tail":           {run: runTail},
	"skip":           {min: 1, max: 1, run: runSkip},
	"take":           {min: 1, max: 1, run: runTake},
	"intersect":      {min: 1, max: 1, run: runIntersect},
	"exclude":        {min: 1, max: 1, run: runExclude},
	"union":          {min: 1, max: 1, run: runUnion},
	"combine":        {min: 1, max: 2, run: runCombine},
	"iif":            {min: 2, max: 3, run: runIif},
	"aggregate":      {min: 1, max: 2, run: runAggregate},
	"sort":           {max: 20, run: runSort},
	"children":       {run: runChildren},
	"descendants":    {run: runDescendants},
	"trace":          {min: 1, max: 2, run: runTrace},
	"defineVariable": {min: 1, max: 2, run: runDefineVariable},

	// FHIR
	"extension": {min: 1, max: 1, run: runExtension},
	"resolve":   {run: runResolve},
	// SQL on FHIR
	"getResourceKey":  {run: runResourceKey},
	"getReferenceKey": {typeArg: true, run: runReferenceKey},
	"htmlChecks":      {run: runHTMLChecks},
	"memberOf":        {min: 1, max: 1, run: runMemberOf},
	"subsumes":        {min: 1, max: 1, run: runSubsumes(false)},
	"subsumedBy":      {min: 1, max: 1, run: runSubsumes(true)},
	"checkModifiers":  {min: 1, max: 20, run: runCheckModifiers},
	"conformsTo":      {min: 1, max: 1, run: runConformsTo},
	"type":            {run: runType},
	"now":             {run: runNow(sysDateTime)},
	"today":           {run: runNow(sysDate)},
	"timeOfDay":       {run: runNow(sysTime)},

	// conversion
	"toBoolean":          {run: runConvert(toBoolean)},
	"toInteger":          {run: runConvert(toInteger)},
	"toDecimal":          {run: runConvert(toDecimal)},
	"toString":           {run: runConvert(toString)},
	"toDate":             {run: runConvert(toTemporal(sysDate))},
	"toDateTime":         {run: runConvert(toTemporal(sysDateTime))},
	"toTime":             {run: runConvert(toTemporal(sysTime))},
	"toQuantity":         {max: 1, run: runQuantity},
	"convertsToBoolean":  {run: runConverts(toBoolean)},
	"convertsToInteger":  {run: runConverts(toInteger)},
	"convertsToDecimal":  {run: runConverts(toDecimal)},
	"convertsToString":   {run: runConverts(toString)},
	"convertsToDate":     {run: runConverts(toTemporal(sysDate))},
	"convertsToDateTime": {run: runConverts(toTemporal(sysDateTime))},
	"convertsToTime":     {run: runConverts(toTemporal(sysTime))},
	"convertsToQuantity": {max: 1, run: runConvertsToQuantity},

	// text
	"indexOf":        {min: 1, max: 1, run: runText(textIndexOf)},
	"lastIndexOf":    {min: 1, max: 1, run: runText(textLastIndexOf)},
	"substring":      {min: 1, max: 2, run: runSubstring},
	"startsWith":     {min: 1, max: 1, run: runText(textStartsWith)},
	"endsWith":       {min: 1, max: 1, run: runText(textEndsWith)},
	"contains":       {min: 1, max: 1, run: runText(textContains)},
	"upper":          {run: runText(textUpper)},
	"lower":          {run: runText(textLower)},
	"replace":        {min: 2, max: 2, run: runText(textReplace)},
	"matches":        {min: 1, max: 1, run: runMatches},
	"matchesFull":    {min: 1, max: 1, run: runMatches},
	"replaceMatches": {min: 2, max: 2, run: runReplaceMatches},
	"length":         {run: runText(textLength)},
	"toChars":        {run: runText(textChars)},
	"trim":           {run: runText(textTrim)},
	"split":          {min: 1, max: 1, run: runText(textSplit)},
	"join":           {max: 1, run: runJoin},
	"encode":         {min: 1, max: 1, run: runText(textEncode)},
	"decode":         {min: 1, max: 1, run: runText(textDecode)},
	"escape":         {min: 1, max: 1, run: runText(textEscape)},
	"unescape":       {min: 1, max: 1, run: runText(textUnescape)},

	// numbers
	"abs":          {run: runAbs},
	"ceiling":      {run: runNumber(numberCeiling)},
	"floor":        {run: runNumber(numberFloor)},
	"truncate":     {run: runNumber(numberTruncate)},
	"exp":          {run: runNumber(numberExp)},
	"ln":           {run: runNumber(numberLn)},
	"sqrt":         {run: runNumber(numberSqrt)},
	"log":          {min: 1, max: 1, run: runLog},
	"power":        {min: 1, max: 1, run: runPower},
	"round":        {max: 1, run: runRound},
	"lowBoundary":  {max: 1, run: runBoundary(false)},
	"highBoundary": {max: 1, run: runBoundary(true)},
	"precision":    {run: runPrecision},
	"comparable":   {min: 1, max: 1, run: runComparable},
}
