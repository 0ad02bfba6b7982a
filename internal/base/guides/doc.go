// Package guides keeps the implementation guides of practices: their profiles, value sets, code systems and search
// parameters as the practice's own resources, and with them a validator for each practice.
//
// It owns the import of packages, the list of what is imported, how strictly a practice takes profiles (Policy), and
// the checker that fhirstore asks before it writes. Judging itself is package profile's, codes are package
// codes's. It never fetches packages.
package guides
