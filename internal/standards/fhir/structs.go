package fhir

// Decode reads JSON into a generated struct.
func Decode(raw []byte, into any) error { return errNotYet }

// Encode writes a generated struct as JSON.
func Encode(v any) ([]byte, error) { return nil, errNotYet }

// Merge applies what changed from before to after to raw.
func Merge(raw []byte, before, after any) ([]byte, error) { return nil, errNotYet }

var errNotYet = Problem("not-supported", "Structs are not generated yet.", "Use the tree.")
