package main

// structFiles writes the plain Go structs.
func structFiles(types []pureType) (map[string][]byte, error) { return nil, nil }
