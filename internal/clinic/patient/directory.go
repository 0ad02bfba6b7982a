// Package patient answers "who is this?": the identity shown beside every chart, the
// list of the practice's patients, how to find one of them, and how to add a new one
// without making a second chart for somebody who already has one.
//
// It owns the resource types Patient, Person and RelatedPerson. It never holds anything
// clinical.
package patient

// Hit is one patient as a list shows them: enough to tell two people apart.
type Hit struct {
	ID         string
	Name       Name
	BirthDate  string // as recorded
	Age        string
	Sex        string // F, M, X, U
	MRN        string
	Phone      string
	Deceased   bool
	Inactive   bool
	Restricted bool
	// Alike is set when another patient's name could be taken for this one; Twins names
	// how many there are.
	Alike bool
	Twins int
	// Why tells what a possible duplicate has in common: "name", "birth date", "mrn", "phone".
	Why []string
}
