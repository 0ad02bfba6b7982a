package fhir

import (
	"testing"

	"yarrow.health/internal/standards/fhirjson"
)

// observation is a laboratory result of usual size, as machines write it.
const observation = `{"resourceType":"Observation","id":"1f9f9b0f-0b0a-4a51-9f3a-0f3d4a6a2d11","meta":{"versionId":"3","lastUpdated":"2024-05-31T14:30:00.123Z","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"]},"status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory","display":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"2339-0","display":"Glucose"}],"text":"Glucose"},"subject":{"reference":"Patient/8c4d6e1e-70b5-4c53-9e38-6f7c2f3e9a10"},"encounter":{"reference":"Encounter/0b1f7c66-6b8d-4f53-8c1f-8d4a6a0d1e77"},"effectiveDateTime":"2024-05-31T09:30:00-05:00","issued":"2024-05-31T09:30:00.000-05:00","performer":[{"reference":"Practitioner/7a1a3c0e-0d54-4d0b-a2f0-b1d1a3ad1e00","display":"Dr. Example"}],"valueQuantity":{"value":92.50,"unit":"mg/dL","system":"http://unitsofmeasure.org","code":"mg/dL"},"interpretation":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation","code":"N"}]}],"referenceRange":[{"low":{"value":70,"unit":"mg/dL"},"high":{"value":99,"unit":"mg/dL"},"text":"70-99"}]}`

func observationNode(b *testing.B) *fhirjson.Node {
	n, issues := Parse([]byte(observation))
	if issues != nil {
		b.Fatal(issues)
	}
	return n
}

func BenchmarkValidateObservation(b *testing.B) {
	n := observationNode(b)
	b.SetBytes(int64(len(observation)))
	b.ReportAllocs()
	for b.Loop() {
		if Validate(n) != nil {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkParseObservation(b *testing.B) {
	raw := []byte(observation)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := fhirjson.Parse(raw, fhirjson.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeObservation(b *testing.B) {
	n := observationNode(b)
	b.ReportAllocs()
	for b.Loop() {
		var o Observation
		if err := DecodeNode(n, &o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeObservation(b *testing.B) {
	var o Observation
	if err := Decode([]byte(observation), &o); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(&o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMergeObservation(b *testing.B) {
	var before, after Observation
	if err := Decode([]byte(observation), &before); err != nil {
		b.Fatal(err)
	}
	after = before
	after.Status = "amended"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Merge([]byte(observation), &before, &after); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSynthea parses and validates a corpus of bundles.
func BenchmarkSynthea(b *testing.B) {
	var docs [][]byte
	size := 0
	synthea(b, func(d document) {
		if size < 50<<20 {
			docs = append(docs, append([]byte(nil), d.raw...))
			size += len(d.raw)
		}
	})
	if len(docs) == 0 {
		return
	}
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			for _, d := range docs {
				if _, err := fhirjson.Parse(d, fhirjson.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		n, err := fhirjson.Parse(docs[0], fhirjson.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		buf := n.AppendJSON(nil)
		b.SetBytes(int64(len(buf)))
		for b.Loop() {
			buf = n.AppendJSON(buf[:0])
		}
	})
	b.Run("validate", func(b *testing.B) {
		var nodes []*fhirjson.Node
		for _, d := range docs {
			n, err := fhirjson.Parse(d, fhirjson.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			nodes = append(nodes, n)
		}
		b.SetBytes(int64(size))
		for b.Loop() {
			for _, n := range nodes {
				Validate(n)
			}
		}
	})
}

// BenchmarkStart is what the first use of the definitions costs.
func BenchmarkStart(b *testing.B) {
	b.Run("types", func(b *testing.B) {
		for b.Loop() {
			for f := range rows(packedTypes) {
				if f[0] == "E" {
					readElement("X", f[1:])
				}
			}
		}
	})
	b.Run("search", func(b *testing.B) {
		for b.Loop() {
			for range rows(packedSearch) {
			}
		}
	})
}
