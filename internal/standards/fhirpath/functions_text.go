package fhirpath

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

// textFunction works on one text and the texts of its arguments.
type textFunction func(s string, args []string) (Collection, error)

// runText evaluates input and arguments; where any is empty the result is empty.
func runText(do textFunction) func(*evaluator, *call, Collection) (Collection, error) {
	return func(c *evaluator, f *call, in Collection) (Collection, error) {
		s, ok, err := oneText(in)
		if err != nil || !ok {
			return nil, err
		}
		args := make([]string, len(f.args))
		size := len(s)
		for i, a := range f.args {
			if args[i], ok, err = c.textArg(a); err != nil || !ok {
				return nil, err
			}
			size += len(args[i])
		}
		if err := c.spend(size / 64); err != nil {
			return nil, err
		}
		out, err := do(s, args)
		for i := range out {
			if len(out[i].text) > maxText {
				return nil, ErrTooMuchWork
			}
		}
		if err == nil {
			err = c.spend(len(out))
		}
		return out, err
	}
}

// runeIndex turns a byte index into characters.
func runeIndex(s string, i int) Collection {
	if i < 0 {
		return single(intItem(-1))
	}
	return single(intItem(int64(utf8.RuneCountInString(s[:i]))))
}

func textIndexOf(s string, a []string) (Collection, error) {
	return runeIndex(s, strings.Index(s, a[0])), nil
}
func textLastIndexOf(s string, a []string) (Collection, error) {
	return runeIndex(s, strings.LastIndex(s, a[0])), nil
}
func textStartsWith(s string, a []string) (Collection, error) {
	return boolCol(strings.HasPrefix(s, a[0])), nil
}
func textEndsWith(s string, a []string) (Collection, error) {
	return boolCol(strings.HasSuffix(s, a[0])), nil
}
func textContains(s string, a []string) (Collection, error) {
	return boolCol(strings.Contains(s, a[0])), nil
}
func textUpper(s string, _ []string) (Collection, error) {
	return single(stringItem(strings.ToUpper(s))), nil
}
func textLower(s string, _ []string) (Collection, error) {
	return single(stringItem(strings.ToLower(s))), nil
}
func textTrim(s string, _ []string) (Collection, error) {
	return single(stringItem(strings.TrimSpace(s))), nil
}
func textLength(s string, _ []string) (Collection, error) {
	return single(intItem(int64(utf8.RuneCountInString(s)))), nil
}

func textReplace(s string, a []string) (Collection, error) {
	if n := strings.Count(s, a[0]); len(s)+n*(len(a[1])-len(a[0])) > maxText {
		return nil, ErrTooMuchWork
	}
	return single(stringItem(strings.ReplaceAll(s, a[0], a[1]))), nil
}

func textChars(s string, _ []string) (Collection, error) {
	if len(s) > maxText/64 {
		return nil, ErrTooMuchWork
	}
	out := make(Collection, 0, len(s))
	for _, r := range s {
		out = append(out, stringItem(string(r)))
	}
	return out, nil
}

func textSplit(s string, a []string) (Collection, error) {
	if len(s) > maxText/64 {
		return nil, ErrTooMuchWork
	}
	var out Collection
	for _, p := range strings.Split(s, a[0]) {
		out = append(out, stringItem(p))
	}
	return out, nil
}

func textEncode(s string, a []string) (Collection, error) {
	switch a[0] {
	case "hex":
		return single(stringItem(hex.EncodeToString([]byte(s)))), nil
	case "base64":
		return single(stringItem(base64.StdEncoding.EncodeToString([]byte(s)))), nil
	case "urlbase64":
		return single(stringItem(base64.URLEncoding.EncodeToString([]byte(s)))), nil
	}
	return nil, fmt.Errorf("unknown encoding %q; use hex, base64 or urlbase64", a[0])
}

func textDecode(s string, a []string) (Collection, error) {
	var b []byte
	var err error
	switch a[0] {
	case "hex":
		b, err = hex.DecodeString(s)
	case "base64":
		b, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	case "urlbase64":
		b, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	default:
		return nil, fmt.Errorf("unknown encoding %q; use hex, base64 or urlbase64", a[0])
	}
	if err != nil || !utf8.Valid(b) {
		return nil, nil
	}
	return single(stringItem(string(b))), nil
}

func textEscape(s string, a []string) (Collection, error) {
	switch a[0] {
	case "html":
		r := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")
		return single(stringItem(r.Replace(s))), nil
	case "json":
		b, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		r := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&")
		return single(stringItem(r.Replace(string(b[1 : len(b)-1])))), nil
	}
	return nil, fmt.Errorf("unknown target %q; use html or json", a[0])
}

func textUnescape(s string, a []string) (Collection, error) {
	switch a[0] {
	case "html":
		return single(stringItem(html.UnescapeString(s))), nil
	case "json":
		// The text may hold quotes that are not escaped, since it stood between other quotes.
		r := strings.NewReplacer(`\\`, `\\`, `\"`, `\"`, `"`, `\"`)
		var out string
		if json.Unmarshal([]byte(`"`+r.Replace(s)+`"`), &out) != nil {
			return nil, nil
		}
		return single(stringItem(out)), nil
	}
	return nil, fmt.Errorf("unknown target %q; use html or json", a[0])
}

func runSubstring(c *evaluator, f *call, in Collection) (Collection, error) {
	s, ok, err := oneText(in)
	if err != nil || !ok {
		return nil, err
	}
	start, ok, err := c.intArg(f.args[0])
	if err != nil || !ok {
		return nil, err
	}
	n := -1
	if len(f.args) == 2 {
		if n, ok, err = c.intArg(f.args[1]); err != nil {
			return nil, err
		}
		if !ok {
			n = -1
		} else if n <= 0 {
			n = 0
		}
	}
	if err := c.spend(len(s) / 64); err != nil {
		return nil, err
	}
	chars := []rune(s)
	if start < 0 || start >= len(chars) {
		return nil, nil
	}
	end := len(chars)
	if n >= 0 && n < end-start {
		end = start + n
	}
	return single(stringItem(string(chars[start:end]))), nil
}

func runMatches(c *evaluator, f *call, in Collection) (Collection, error) {
	s, ok, err := oneText(in)
	if err != nil || !ok {
		return nil, err
	}
	re := f.re
	if re == nil {
		src, ok, err := c.textArg(f.args[0])
		if err != nil || !ok {
			return nil, err
		}
		if err := c.spend(500 + 10*len(src)); err != nil {
			return nil, err
		}
		if re, err = compilePattern(src, f.name == "matchesFull"); err != nil {
			return nil, err
		}
	}
	if err := re.spend(c, s); err != nil {
		return nil, err
	}
	return boolCol(re.MatchString(s)), nil
}

func runReplaceMatches(c *evaluator, f *call, in Collection) (Collection, error) {
	s, ok, err := oneText(in)
	if err != nil || !ok {
		return nil, err
	}
	src, ok, err := c.textArg(f.args[0])
	if err != nil || !ok {
		return nil, err
	}
	with, ok, err := c.textArg(f.args[1])
	if err != nil || !ok {
		return nil, err
	}
	if src == "" {
		return single(stringItem(s)), nil
	}
	re := f.re
	if re == nil {
		if err := c.spend(500 + 10*len(src)); err != nil {
			return nil, err
		}
		if re, err = compilePattern(src, false); err != nil {
			return nil, err
		}
	}
	if err := re.spend(c, s); err != nil {
		return nil, err
	}
	if (len(s)+1)*(len(with)+1) > maxText {
		return nil, ErrTooMuchWork
	}
	return single(stringItem(re.ReplaceAllString(s, goTemplate(with)))), nil
}

// goTemplate writes a replacement's $1 as Go wants it, so that "$1a" is not read as a group called 1a.
func goTemplate(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' {
			b.WriteByte(s[i])
			continue
		}
		j := i + 1
		for j < len(s) && isDigit(s[j]) {
			j++
		}
		switch {
		case j > i+1:
			b.WriteString("${" + s[i+1:j] + "}")
			i = j - 1
		case j < len(s) && s[j] == '{':
			b.WriteByte('$')
		default:
			b.WriteString("$$")
		}
	}
	return b.String()
}

func runJoin(c *evaluator, f *call, in Collection) (Collection, error) {
	sep := ""
	if len(f.args) == 1 {
		s, ok, err := c.textArg(f.args[0])
		if err != nil {
			return nil, err
		}
		if ok {
			sep = s
		}
	}
	if len(in) == 0 && !c.env.EmptyJoin {
		return nil, nil
	}
	size := 0
	parts := make([]string, 0, len(in))
	for _, it := range in {
		s := it.system()
		if s.sys != sysString {
			return nil, errors.New("joins texts only")
		}
		if size += len(s.text) + len(sep); size > maxText {
			return nil, ErrTooMuchWork
		}
		parts = append(parts, s.text)
	}
	return single(stringItem(strings.Join(parts, sep))), c.spend(size / 64)
}
