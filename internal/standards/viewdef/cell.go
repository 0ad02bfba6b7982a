package viewdef

import "strings"

// Neutral makes a text that a spreadsheet would take for a formula into one that it shows as it is: an apostrophe goes before it
// (OWASP, "CSV Injection"). Everything that is written for spreadsheets passes through it.
func Neutral(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
