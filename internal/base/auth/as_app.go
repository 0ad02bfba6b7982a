package auth

import "yarrow.health/internal/base/db"

// AsApp makes an App scope with any access, for tests of what the kernel lets through. The architecture test
// refuses its use in any file that is not a test.
func AsApp(p db.PracticeID, access Access) App {
	return App{Seal: db.NewSeal(p, db.Actor{Kind: kindApp, Display: "test"}), access: &access}
}

// AsPatientApp is AsApp for a program that a patient, "Patient/x", let into their own record.
func AsPatientApp(p db.PracticeID, patient string, access Access) App {
	access.Compartment = patient
	return App{Seal: db.NewSeal(p, db.Actor{Kind: kindApp, Display: "test", FHIR: patient, OnBehalf: patient}), access: &access}
}
