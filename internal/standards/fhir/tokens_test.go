package fhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// tokens writes the token stream of a document with encoding/json, as an
// independent reader: numbers as text, strings decoded, order kept.
func tokens(raw []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var out []byte
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			return append(out, err.Error()...)
		}
		out = fmt.Appendf(out, "%T:%v\n", tok, tok)
	}
}
