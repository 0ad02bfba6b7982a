package audit

import (
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"yarrow.health/internal/base/keys"
)

// statementHead is the first line of what a statement signs. No checkpoint begins so: neither can be taken for the other.
const statementHead = "yarrow.health/statement/"

// SignStatement signs what a practice declares, such as that it destroyed something, with the key that signs its log. kind is one word;
// text is one line. What comes out is a note that [OpenStatement] reads, and a [Receipt] may carry.
func SignStatement(k *keys.Practice, kind, text string) (string, error) {
	if kind == "" || strings.ContainsAny(kind, "\r\n ") || text == "" || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("audit: a statement is one line of one kind")
	}
	s, err := signerOf(k)
	if err != nil {
		return "", err
	}
	out, err := note.Sign(&note.Note{Text: statementHead + kind + "\n" + originOf(k.ID()) + "\n" + text + "\n"}, s)
	return string(out), err
}

// OpenStatement checks the signature of a statement and reads it. vkey is what [PublicKey] gave.
func OpenStatement(signed, vkey string) (kind, text string, err error) {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	if err != nil {
		return "", "", fmt.Errorf("the public key cannot be read: %w", err)
	}
	n, err := note.Open([]byte(signed), note.VerifierList(v))
	if err != nil {
		return "", "", fmt.Errorf("the statement is not signed by this key: %w", err)
	}
	for _, sig := range n.Sigs { // the unused bits of its last character are signed by nobody
		if _, err := base64.StdEncoding.Strict().DecodeString(sig.Base64); err != nil {
			return "", "", fmt.Errorf("the statement's signature was changed: %w", err)
		}
	}
	lines := strings.Split(n.Text, "\n")
	kind, is := strings.CutPrefix(lines[0], statementHead)
	if len(lines) != 4 || !is || lines[1] != v.Name() || lines[3] != "" {
		return "", "", fmt.Errorf("what is signed is no statement")
	}
	return kind, lines[2], nil
}
