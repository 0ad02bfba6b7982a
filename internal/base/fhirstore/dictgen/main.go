// Command dictgen writes the compression dictionaries of fhirstore from samples we made up. Run it with
// `go run ./internal/base/fhirstore/dictgen`. A published archive is never written anew: bodies on disk need
// it byte for byte; a better set becomes v2 beside it, with ids of its own.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"

	"github.com/klauspost/compress/zstd"

	"yarrow.health/internal/standards/fhirjson"
)

const target = "internal/base/fhirstore/dict/v1.zst"

func main() {
	if _, err := os.Stat(target); err == nil && os.Getenv("DICTGEN_REPLACE") != "unpublished" {
		log.Fatalf("%s exists. Bodies on disk may need it: write a new version instead.", target)
	}
	out, err := archive(families())
	if err != nil {
		log.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		log.Fatal(err)
	}
	packed := enc.EncodeAll(out, nil)
	if err := os.WriteFile(target, packed, 0o644); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d bytes of dictionaries in %d bytes\n", target, len(out), len(packed))
}

// archive writes, for each family, a line "id types length" and the content.
func archive(all []family) ([]byte, error) {
	var out, common bytes.Buffer
	for i := range all {
		f := &all[i]
		var content []byte
		for _, sample := range f.samples {
			c, err := members(sample)
			if err != nil {
				return nil, fmt.Errorf("dictionary %d: %w", f.id, err)
			}
			content = append(content, c...)
		}
		if f.samples == nil {
			content = common.Bytes()
		} else if n := len(f.samples); n > 0 {
			last, err := members(f.samples[n-1])
			if err != nil {
				return nil, err
			}
			common.Write(last)
		}
		fmt.Fprintf(&out, "%d %s %d\n", f.id, f.types, len(content))
		out.Write(content)
	}
	return out.Bytes(), nil
}

// members is the form in which bodies are stored: what meta holds, then every member after resourceType.
func members(sample string) ([]byte, error) {
	n, err := fhirjson.Parse([]byte(sample), fhirjson.Limits{})
	if err != nil {
		return nil, err
	}
	var out []byte
	add := func(m *fhirjson.Member) {
		out = fhirjson.AppendString(out, m.Name)
		out = append(out, ':')
		out = m.Value.AppendJSON(out)
	}
	for i := range n.Get("meta").Members() {
		add(&n.Get("meta").Members()[i])
	}
	for i := range n.Members() {
		m := &n.Members()[i]
		if m.Name == "resourceType" || m.Name == "meta" {
			continue
		}
		out = append(out, ',')
		add(m)
	}
	return out, nil
}
