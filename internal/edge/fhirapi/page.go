package fhirapi

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"io"
	"net/url"
	"strings"

	"yarrow.health/internal/base/db"
	"yarrow.health/internal/standards/fhir"
)

// A page link holds the search and the place in it, sealed under the practice's key: it tells nobody who sees the address what was
// searched for, and fits no other address and no other practice.

// maxLink bounds a page link: longer ones do not get through servers and proxies on the way.
const maxLink = 12 << 10

// shortLink is the length up to which a search goes into its link as it is.
const shortLink = 1 << 10

func pageAAD(path string) []byte { return []byte("fhirapi page " + path) }

func sealPage(tx *db.Tx, path string, q url.Values, place string) (string, error) {
	keep := url.Values{}
	for name, v := range q {
		if name != "_page" {
			keep[name] = v
		}
	}
	plain := []byte("0" + place + "\n" + keep.Encode())
	if len(plain) > shortLink {
		// Compressing takes a megabyte of memory for a moment: long searches are few.
		b := bytes.NewBufferString("1")
		z, err := flate.NewWriter(b, flate.BestSpeed)
		if err != nil {
			return "", err
		}
		z.Write(plain[1:])
		if err := z.Close(); err != nil {
			return "", err
		}
		plain = b.Bytes()
	}
	link := path + "?_page=" + base64.RawURLEncoding.EncodeToString(tx.Keys().Seal(nil, plain, pageAAD(path)))
	if len(link) > maxLink {
		return "", fhir.Problem("too-costly", "This search is too long to be paged through.", "Ask for fewer values at a time, or for all answers on one page with _count.")
	}
	return link, nil
}

func openPage(tx *db.Tx, path, sealed string) (url.Values, string, error) {
	wrong := fhir.Problem("value", "The page link does not belong to this address.", "Follow the links of a search as they are, or start the search again.").At("http._page")
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return nil, "", wrong
	}
	plain, err := tx.Keys().Open(nil, raw, pageAAD(path))
	if err != nil {
		return nil, "", wrong
	}
	if len(plain) == 0 {
		return nil, "", wrong
	}
	text := plain[1:]
	if plain[0] == '1' {
		if text, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(text)), 2*maxForm)); err != nil {
			return nil, "", wrong
		}
	}
	place, query, _ := bytes.Cut(text, []byte("\n"))
	q, err := url.ParseQuery(string(query))
	if err != nil {
		return nil, "", wrong
	}
	return q, string(place), nil
}

// SealCursor makes a token that leads to a place in a search: it tells nobody what was searched for, and fits only name, in this
// practice.
func SealCursor(tx *db.Tx, name string, values url.Values, place string) (string, error) {
	link, err := sealPage(tx, name, values, place)
	return strings.TrimPrefix(link, name+"?_page="), err
}

// OpenCursor gives back what SealCursor was given.
func OpenCursor(tx *db.Tx, name, token string) (values url.Values, place string, err error) {
	return openPage(tx, name, token)
}
