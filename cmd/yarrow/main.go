// Command yarrow runs a whole practice from one binary: server, database, workers and tools.
// It is the only place that constructs things and wires them together.
package main

func main() {}
