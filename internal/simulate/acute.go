package simulate

import "time"

// ailment is something that brings a person in once and passes.
type ailment struct {
	icd, name        string
	from, to         float64
	sex              string
	reason           string   // in the book
	history          []string // one is drawn
	exam             string
	plan             string
	med, instead     string // instead is for those allergic to med
	fever            float64
	days             int
	test, testResult string // a rapid test: LOINC and result
	child            string // med for children under 12
	season           string // winter or summer; "" for any time
}

var ailments = []ailment{
	{icd: "J06.9", name: "Viral upper respiratory infection", from: 0.5, to: 99, reason: "Cough and congestion", days: 10, fever: 0.4,
		history: []string{"Runny nose, cough and sore throat for 4 days. No shortness of breath. Others at home have the same.", "Congestion and dry cough since the weekend. Eating and drinking well. No ear pain."},
		exam:    "Alert, no distress. Nose congested. Throat mildly red without exudate. Ears clear. Lungs clear, no wheeze.", plan: "Viral illness. Fluids, rest, honey for cough over age 1. Return for fever beyond 3 days or trouble breathing."},
	{icd: "J02.0", name: "Streptococcal pharyngitis", from: 4, to: 40, reason: "Sore throat", days: 10, fever: 1.6, test: "78012-2", testResult: "Positive", med: "amoxicillin500", instead: "azithromycin", child: "amoxicillinliq",
		history: []string{"Sore throat and fever for 2 days, painful to swallow. No cough. A classmate has strep.", "Sudden sore throat with headache since yesterday. No cough or runny nose."},
		exam:    "Throat red with exudate, tender front neck nodes, no rash. Lungs clear.", plan: "Rapid strep positive. Antibiotic as ordered; back to school or work after 12 hours of treatment."},
	{icd: "J01.90", name: "Acute sinusitis", from: 18, to: 80, reason: "Sinus pressure", days: 12, fever: 0.3, med: "amoxclav", instead: "doxycycline100",
		history: []string{"Facial pressure and thick nasal discharge for 11 days, worse again after improving.", "Sinus pain on the left with upper tooth ache, day 12."},
		exam:    "Tender over the maxillary sinuses, purulent discharge. Lungs clear.", plan: "Bacterial by duration. Antibiotic, saline rinses, nasal steroid."},
	{icd: "J20.9", name: "Acute bronchitis", from: 18, to: 90, reason: "Cough", days: 18, med: "benzonatate",
		history: []string{"Cough for 10 days after a cold, clear sputum. No fever or chest pain. Sleeping poorly from cough."},
		exam:    "No distress. Scattered rhonchi that clear with cough, no wheeze or crackles.", plan: "No sign of pneumonia. Symptom care; cough may last 3 weeks. No antibiotic."},
	{icd: "N30.00", name: "Acute cystitis", from: 18, to: 85, sex: "female", reason: "Burning with urination", days: 7, test: "5799-2", testResult: "Positive", med: "nitrofurantoin",
		history: []string{"Burning and frequency for 2 days. No fever, flank pain or discharge.", "Urgency and burning since yesterday, like an earlier bladder infection."},
		exam:    "Comfortable. Mild suprapubic tenderness, no flank tenderness.", plan: "Uncomplicated. Antibiotic for 5 days, fluids. Culture if not better in 48 hours."},
	{icd: "H66.91", name: "Acute otitis media, right ear", from: 0.6, to: 8, reason: "Ear pain", days: 10, fever: 1.3, med: "amoxicillinliq", instead: "azithromycinliq", child: "amoxicillinliq",
		history: []string{"Fussy at night and pulling at the right ear for 2 days after a cold. Drinking well."},
		exam:    "Right ear drum red and bulging, left normal. Nose congested. Lungs clear.", plan: "Antibiotic by weight, acetaminophen for pain. Recheck if not better in 3 days."},
	{icd: "M54.50", name: "Acute low back pain", from: 20, to: 65, reason: "Low back pain", days: 28, med: "naproxen500", instead: "cyclobenzaprine",
		history: []string{"Low back pain since lifting boxes 3 days ago. No leg weakness, numbness, fever, or bladder change.", "Back stiff and sore since yard work. Pain does not go below the buttock."},
		exam:    "Paraspinal tenderness, flexion limited by pain. Straight leg raise negative. Strength and reflexes normal.", plan: "No red flags. Stay active, heat, short course of medicine, exercises given."},
	{icd: "S93.401A", name: "Sprain of right ankle", from: 10, to: 60, reason: "Twisted ankle", days: 28,
		history: []string{"Rolled the right ankle stepping off a curb yesterday. Can bear weight with pain."},
		exam:    "Swelling below the outer malleolus, no bony tenderness, neurovascularly intact.", plan: "No x-ray needed by the Ottawa rules. Brace, ice, elevation, early motion."},
	{icd: "A08.4", name: "Viral gastroenteritis", from: 2, to: 80, reason: "Vomiting and diarrhea", days: 5, fever: 0.7, med: "ondansetron",
		history: []string{"Vomiting and watery stools since yesterday, no blood. Keeping down sips. Urinating."},
		exam:    "Moist mucous membranes. Abdomen soft with mild diffuse tenderness, no guarding.", plan: "Well hydrated. Oral rehydration, return if unable to drink or blood in stool."},
	{icd: "L23.7", name: "Contact dermatitis from plants", season: "summer", from: 3, to: 70, reason: "Itchy rash", days: 14, med: "triamcinolonecourse",
		history: []string{"Itchy streaky rash on the forearms after clearing brush on the weekend."},
		exam:    "Linear groups of small blisters on both forearms, no sign of infection.", plan: "Topical steroid, cool compresses, wash clothes and tools."},
	{icd: "H10.9", name: "Conjunctivitis", from: 2, to: 40, reason: "Red eye", days: 7, med: "polytrim",
		history: []string{"Left eye red with yellow discharge, crusted shut this morning. No pain or light sensitivity."},
		exam:    "Left conjunctiva red with discharge. Vision unchanged, pupils equal, cornea clear.", plan: "Eye drops, hand washing, no contact lenses until clear."},
	{icd: "B35.3", name: "Athlete's foot", from: 16, to: 75, reason: "Foot rash", days: 28, med: "clotrimazole",
		history: []string{"Itching and peeling between the toes for a month."},
		exam:    "Scaling and maceration between the 4th and 5th toes of both feet.", plan: "Antifungal cream for 4 weeks, keep feet dry."},
	{icd: "J10.1", name: "Influenza A", season: "winter", from: 5, to: 75, reason: "Fever and body aches", days: 8, fever: 3.1, test: "80382-5", testResult: "Detected", med: "oseltamivir",
		history: []string{"Sudden fever, aches and cough since last night. Not vaccinated this season."},
		exam:    "Tired but not toxic. Throat red. Lungs clear, no distress.", plan: "Within 48 hours of onset. Antiviral, fluids, fever control; return for breathing trouble."},
	{icd: "H61.23", name: "Impacted cerumen, both ears", from: 30, to: 90, reason: "Blocked ears", days: 1,
		history: []string{"Both ears feel blocked for two weeks, hearing muffled. No pain or discharge."},
		exam:    "Cerumen fills both canals. After irrigation drums normal.", plan: "Ears irrigated, hearing back to normal. No cotton swabs."},
}

func (a *ailment) fits(p *patient, t time.Time) bool {
	switch month := t.Month(); {
	case a.season == "winter" && month > time.March && month < time.November, a.season == "summer" && (month < time.May || month > time.October),
		a.med == "nitrofurantoin" && (p.suffers("ckd") || p.suffers("dmckd")), a.med == "naproxen500" && !p.spared():
		return false
	}
	age := p.age(t)
	return age >= a.from && age <= a.to && (a.sex == "" || a.sex == p.sex)
}

// ailing draws something a patient may come with at a time of year.
func (p *patient) ailing(d dice, t time.Time) *ailment {
	for range 40 {
		if a := &ailments[d.IntN(len(ailments))]; a.fits(p, t) {
			return a
		}
	}
	return &ailments[0]
}

// ailing draws something the patient has not come with before, or a cold.
func (c *chart) ailing(t time.Time) *ailment {
	for range 12 {
		a := c.p.ailing(c.d, t)
		seen := false
		for _, b := range c.had {
			seen = seen || a == b
		}
		if !seen || a == &ailments[0] {
			return a
		}
	}
	return &ailments[0]
}

// spared reports whether an anti-inflammatory may be given.
func (p *patient) spared() bool {
	for _, k := range []string{"ckd", "dmckd", "chf", "cad", "afib", "afibw"} {
		if p.suffers(k) {
			return false
		}
	}
	return p.age(p.w.Now) < 70 && !p.avoids("Nonsteroidal anti-inflammatory drugs", "Naproxen", "Ibuprofen", "Aspirin")
}
