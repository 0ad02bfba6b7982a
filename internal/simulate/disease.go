package simulate

import "yarrow.health/internal/standards/terminology"

// disease is a lasting problem and how this practice treats it: step by step, until its
// marker is at goal. Effects are believable sizes, not evidence.
type disease struct {
	key, icd, name string
	from, to       float64 // ages in years at which it begins
	sex            string
	share          float64 // of people between those ages
	marker         string  // what is followed: sbp, a1c, ldl, tsh, phq, gad, uric, hgb, vitd; "" for nothing
	low, high      float64 // untreated marker
	drift          float64 // change a year without more treatment
	goal           float64
	below          bool // the marker is bad when low
	steps          []step
	every          int // months between visits once at goal
}

// step is one medicine and what it does to the marker (value × times + plus).
type step struct {
	med      string
	replaces bool // takes the place of the step before
	times    float64
	plus     float64
}

var diseases = []disease{
	{key: "htn", icd: "I10", name: "Essential hypertension", from: 34, to: 95, share: 0.32, marker: "sbp", low: 152, high: 170, drift: 0.6, goal: 138, every: 6,
		steps: []step{{med: "lisinopril10", plus: -10}, {med: "lisinopril20", replaces: true, plus: -6}, {med: "amlodipine5", plus: -9}, {med: "amlodipine10", replaces: true, plus: -4}, {med: "chlorthalidone25", plus: -8}}},
	{key: "t2dm", icd: "E11.9", name: "Type 2 diabetes", from: 38, to: 90, share: 0.12, marker: "a1c", low: 8.1, high: 10.1, drift: 0.16, goal: 7, every: 4,
		steps: []step{{med: "metformin500", plus: -0.8}, {med: "metformin1000", replaces: true, plus: -0.6}, {med: "empagliflozin10", plus: -0.7}, {med: "semaglutide", plus: -1.1}, {med: "glargine", plus: -1}}},
	{key: "dmckd", icd: "E11.22", name: "Type 2 diabetes with diabetic CKD", marker: "a1c", low: 9.4, high: 9.9, drift: 0.35, goal: 7, every: 3,
		steps: []step{{med: "metformin500", plus: -0.8}, {med: "empagliflozin10", plus: -0.7}, {med: "glargine", plus: -0.9}}},
	{key: "prediab", icd: "R73.03", name: "Prediabetes", from: 35, to: 80, share: 0.09, marker: "a1c", low: 5.8, high: 6.3, drift: 0.03, goal: 6.4, every: 12},
	{key: "hld", icd: "E78.5", name: "Hyperlipidemia", from: 38, to: 92, share: 0.3, marker: "ldl", low: 138, high: 190, drift: 1, goal: 100, every: 12,
		steps: []step{{med: "atorvastatin20", times: 0.62}, {med: "atorvastatin40", replaces: true, times: 0.9}, {med: "ezetimibe10", times: 0.8}}},
	{key: "mixed", icd: "E78.2", name: "Mixed hyperlipidemia", marker: "ldl", low: 140, high: 160, drift: 1, goal: 100, every: 12,
		steps: []step{{med: "rosuvastatin10", times: 0.66}, {med: "rosuvastatin20", replaces: true, times: 0.9}}},
	{key: "hypothyroid", icd: "E03.9", name: "Hypothyroidism", from: 28, to: 85, share: 0.07, marker: "tsh", low: 7.5, high: 14, drift: 0.2, goal: 4.5, every: 12,
		steps: []step{{med: "levothyroxine50", times: 0.42}, {med: "levothyroxine75", replaces: true, times: 0.6}, {med: "levothyroxine88", replaces: true, times: 0.7}}},
	{key: "depr", icd: "F33.1", name: "Major depressive disorder, recurrent, moderate", from: 19, to: 75, share: 0.1, marker: "phq", low: 13, high: 19, goal: 9, every: 6,
		steps: []step{{med: "sertraline50", plus: -5}, {med: "sertraline100", replaces: true, plus: -4}, {med: "bupropion150", plus: -3}}},
	{key: "deprteen", icd: "F32.1", name: "Major depressive disorder, single episode, moderate", marker: "phq", low: 14, high: 16, goal: 9, every: 2,
		steps: []step{{med: "fluoxetine20", plus: -6}}},
	{key: "anx", icd: "F41.1", name: "Generalized anxiety disorder", from: 18, to: 70, share: 0.1, marker: "gad", low: 11, high: 17, goal: 9, every: 6,
		steps: []step{{med: "escitalopram10", plus: -5}, {med: "escitalopram20", replaces: true, plus: -3}}},
	{key: "insomnia", icd: "G47.00", name: "Insomnia", from: 30, to: 85, share: 0.05, every: 12, steps: []step{{med: "trazodone50"}}},
	{key: "gerd", icd: "K21.9", name: "Gastroesophageal reflux disease", from: 25, to: 88, share: 0.13, every: 12, steps: []step{{med: "omeprazole20"}}},
	{key: "asthma", icd: "J45.30", name: "Mild persistent asthma", from: 18, to: 65, share: 0.06, every: 6, steps: []step{{med: "albuterol"}, {med: "fluticasoneinh"}}},
	{key: "asthmachild", icd: "J45.20", name: "Mild intermittent asthma", from: 4, to: 17.9, share: 0.09, every: 6, steps: []step{{med: "albuterol"}}},
	{key: "eczema", icd: "L20.9", name: "Atopic dermatitis", from: 1, to: 14, share: 0.09, every: 12, steps: []step{{med: "triamcinolone"}}},
	{key: "acne", icd: "L70.0", name: "Acne vulgaris", from: 13, to: 24, share: 0.14, every: 12, steps: []step{{med: "adapalene"}}},
	{key: "adhd", icd: "F90.2", name: "ADHD, combined type", from: 7, to: 17.9, share: 0.08, every: 4, steps: []step{{med: "methylphenidate"}}},
	{key: "copd", icd: "J44.9", name: "Chronic obstructive pulmonary disease", from: 58, to: 90, share: 0.05, every: 6, steps: []step{{med: "albuterol"}, {med: "tiotropium"}}},
	{key: "oa", icd: "M17.11", name: "Primary osteoarthritis, right knee", from: 52, to: 92, share: 0.17, every: 12, steps: []step{{med: "acetaminophen500"}}},
	{key: "gout", icd: "M10.9", name: "Gout", from: 40, to: 85, sex: "male", share: 0.06, marker: "uric", low: 8.4, high: 9.8, goal: 6, every: 12,
		steps: []step{{med: "allopurinol100", plus: -1.9}, {med: "allopurinol300", replaces: true, plus: -1.7}}},
	{key: "afib", icd: "I48.91", name: "Atrial fibrillation", from: 66, to: 92, share: 0.06, every: 6, steps: []step{{med: "apixaban5"}, {med: "metoprolol50"}}},
	{key: "afibw", icd: "I48.91", name: "Atrial fibrillation", marker: "inr", low: 2.3, high: 2.7, goal: 99, every: 2, steps: []step{{med: "warfarin5"}, {med: "metoprolol50"}}},
	{key: "chf", icd: "I50.22", name: "Chronic systolic heart failure", from: 70, to: 92, share: 0.04, every: 3, steps: []step{{med: "furosemide40"}, {med: "carvedilol"}}},
	{key: "cad", icd: "I25.10", name: "Coronary artery disease", from: 58, to: 90, share: 0.07, every: 6, steps: []step{{med: "aspirin81"}, {med: "metoprolol50"}}},
	{key: "ckd", icd: "N18.31", name: "Chronic kidney disease, stage 3a", from: 66, to: 92, share: 0.08, every: 6},
	{key: "osteoporosis", icd: "M81.0", name: "Osteoporosis", from: 62, to: 92, sex: "female", share: 0.13, every: 12, steps: []step{{med: "alendronate70"}}},
	{key: "ida", icd: "D50.9", name: "Iron deficiency anemia", from: 18, to: 48, sex: "female", share: 0.07, marker: "hgb", low: 9.7, high: 10.9, goal: 12, below: true, every: 6,
		steps: []step{{med: "iron325", plus: 2.3}}},
	{key: "vitd", icd: "E55.9", name: "Vitamin D deficiency", from: 30, to: 90, share: 0.07, marker: "vitd", low: 14, high: 22, goal: 30, below: true, every: 12,
		steps: []step{{med: "vitamind", plus: 20}}},
	{key: "ar", icd: "J30.9", name: "Allergic rhinitis", from: 6, to: 60, share: 0.13, every: 12, steps: []step{{med: "cetirizine10"}}},
	{key: "migraine", icd: "G43.909", name: "Migraine", from: 18, to: 58, share: 0.08, every: 6, steps: []step{{med: "sumatriptan50"}}},
	{key: "bph", icd: "N40.1", name: "Benign prostatic hyperplasia with urinary symptoms", from: 58, to: 90, sex: "male", share: 0.18, every: 12, steps: []step{{med: "tamsulosin"}}},
	{key: "obesity", icd: "E66.9", name: "Obesity", from: 22, to: 70, share: 0.14, every: 12},
	{key: "osa", icd: "G47.33", name: "Obstructive sleep apnea", from: 40, to: 75, share: 0.05, every: 12},
	{key: "tobacco", icd: "F17.210", name: "Cigarette smoking", from: 22, to: 70, share: 0.09, every: 12},
	{key: "contraception", icd: "Z30.41", name: "Oral contraception", from: 18, to: 38, sex: "female", share: 0.2, every: 12, steps: []step{{med: "norgestimate"}}},
}

func diseaseOf(key string) *disease {
	for i := range diseases {
		if diseases[i].key == key {
			return &diseases[i]
		}
	}
	panic("simulate: no disease " + key)
}

// sicken draws the lasting problems of a person by age and sex.
func (p *patient) sicken(d dice) []string {
	age := p.age(p.w.Now)
	var out []string
	got := map[string]bool{}
	for _, s := range diseases {
		if s.share == 0 || age < s.from+0.5 || age > s.to || s.sex != "" && s.sex != p.sex {
			continue
		}
		share := s.share
		if (s.key == "htn" || s.key == "hld") && (age > 60 || got["t2dm"] || got["htn"]) {
			share *= 1.6
		}
		if s.key == "prediab" && got["t2dm"] || s.key == "ckd" && !got["htn"] || s.key == "tobacco" && got["copd"] {
			continue
		}
		if len(out) < 7 && d.chance(share) {
			out, got[s.key] = append(out, s.key), true
		}
	}
	return out
}

// medicine is something this practice prescribes. Codes come from package terminology.
type medicine struct {
	key, drug, form, strength string // as the starter set writes them
	text, sig                 string
	unit                      string // what is dispensed
	count, refills            int
	class                     string // allergen it must not meet, by Display
	course                    int    // days of a short course, 0 for long-term
}

var medicines = []medicine{
	{key: "lisinopril10", drug: "Lisinopril", form: "Oral Pill", strength: "10 mg", text: "Lisinopril 10 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3, class: "Lisinopril"},
	{key: "lisinopril20", drug: "Lisinopril", form: "Oral Pill", strength: "20 mg", text: "Lisinopril 20 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3, class: "Lisinopril"},
	{key: "losartan50", drug: "Losartan", form: "Oral Pill", strength: "50 mg", text: "Losartan 50 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3},
	{key: "losartan100", drug: "Losartan", form: "Oral Pill", strength: "100 mg", text: "Losartan 100 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3},
	{key: "amlodipine5", drug: "Amlodipine", form: "Oral Pill", strength: "5 mg", text: "Amlodipine 5 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3},
	{key: "amlodipine10", drug: "Amlodipine", form: "Oral Pill", strength: "10 mg", text: "Amlodipine 10 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3},
	{key: "chlorthalidone25", drug: "Chlorthalidone", form: "Oral Pill", strength: "25 mg", text: "Chlorthalidone 25 mg tablet", sig: "1 tablet by mouth every morning", unit: "tablet", count: 90, refills: 3},
	{key: "metformin500", drug: "Metformin", form: "Oral Pill", strength: "500 mg", text: "Metformin 500 mg tablet", sig: "1 tablet by mouth twice daily with meals", unit: "tablet", count: 180, refills: 3},
	{key: "metformin1000", drug: "Metformin", form: "Oral Pill", strength: "1,000 mg", text: "Metformin 1,000 mg tablet", sig: "1 tablet by mouth twice daily with meals", unit: "tablet", count: 180, refills: 3},
	{key: "empagliflozin10", drug: "Empagliflozin", form: "Oral Pill", strength: "10 mg", text: "Empagliflozin 10 mg tablet", sig: "1 tablet by mouth every morning", unit: "tablet", count: 90, refills: 3},
	{key: "semaglutide", drug: "Semaglutide", form: "Injectable", text: "Semaglutide 0.5 mg weekly pen", sig: "Inject 0.5 mg under the skin once a week", unit: "pen", count: 3, refills: 3},
	{key: "glargine", drug: "Insulin glargine", form: "Injectable", text: "Insulin glargine 100 units/mL pen", sig: "Inject 18 units under the skin at bedtime", unit: "pen", count: 5, refills: 3},
	{key: "atorvastatin20", drug: "Atorvastatin", form: "Oral Pill", strength: "20 mg", text: "Atorvastatin 20 mg tablet", sig: "1 tablet by mouth at bedtime", unit: "tablet", count: 90, refills: 3, class: "Statins"},
	{key: "atorvastatin40", drug: "Atorvastatin", form: "Oral Pill", strength: "40 mg", text: "Atorvastatin 40 mg tablet", sig: "1 tablet by mouth at bedtime", unit: "tablet", count: 90, refills: 3, class: "Statins"},
	{key: "rosuvastatin10", drug: "Rosuvastatin", form: "Oral Pill", strength: "10 mg", text: "Rosuvastatin 10 mg tablet", sig: "1 tablet by mouth at bedtime", unit: "tablet", count: 90, refills: 3, class: "Statins"},
	{key: "rosuvastatin20", drug: "Rosuvastatin", form: "Oral Pill", strength: "20 mg", text: "Rosuvastatin 20 mg tablet", sig: "1 tablet by mouth at bedtime", unit: "tablet", count: 90, refills: 3, class: "Statins"},
	{key: "ezetimibe10", drug: "Ezetimibe", form: "Oral Pill", strength: "10 mg", text: "Ezetimibe 10 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3},
	{key: "levothyroxine50", drug: "Levothyroxine", form: "Oral Pill", strength: "0.05 mg", text: "Levothyroxine 50 mcg tablet", sig: "1 tablet by mouth every morning on an empty stomach", unit: "tablet", count: 90, refills: 3},
	{key: "levothyroxine75", drug: "Levothyroxine", form: "Oral Pill", strength: "0.075 mg", text: "Levothyroxine 75 mcg tablet", sig: "1 tablet by mouth every morning on an empty stomach", unit: "tablet", count: 90, refills: 3},
	{key: "levothyroxine88", drug: "Levothyroxine", form: "Oral Pill", strength: "0.088 mg", text: "Levothyroxine 88 mcg tablet", sig: "1 tablet by mouth every morning on an empty stomach", unit: "tablet", count: 90, refills: 3},
	{key: "sertraline50", drug: "Sertraline", form: "Oral Pill", strength: "50 mg", text: "Sertraline 50 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 1},
	{key: "sertraline100", drug: "Sertraline", form: "Oral Pill", strength: "100 mg", text: "Sertraline 100 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 1},
	{key: "fluoxetine20", drug: "Fluoxetine", form: "Oral Pill", strength: "20 mg", text: "Fluoxetine 20 mg tablet", sig: "1 tablet by mouth every morning", unit: "tablet", count: 30, refills: 2},
	{key: "bupropion150", drug: "Bupropion", form: "Oral Pill", strength: "150 mg", text: "Bupropion XL 150 mg tablet", sig: "1 tablet by mouth every morning", unit: "tablet", count: 90, refills: 1, class: "Bupropion"},
	{key: "escitalopram10", drug: "Escitalopram", form: "Oral Pill", strength: "10 mg", text: "Escitalopram 10 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 1},
	{key: "escitalopram20", drug: "Escitalopram", form: "Oral Pill", strength: "20 mg", text: "Escitalopram 20 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 1},
	{key: "trazodone50", drug: "Trazodone", form: "Oral Pill", strength: "50 mg", text: "Trazodone 50 mg tablet", sig: "1 tablet by mouth at bedtime as needed for sleep", unit: "tablet", count: 30, refills: 2},
	{key: "omeprazole20", drug: "Omeprazole", form: "Oral Pill", strength: "20 mg", text: "Omeprazole 20 mg capsule", sig: "1 capsule by mouth daily before breakfast", unit: "capsule", count: 90, refills: 2},
	{key: "albuterol", drug: "Albuterol", form: "Inhalant", strength: "90 mcg/puff", text: "Albuterol HFA 90 mcg/puff inhaler", sig: "2 puffs every 4 to 6 hours as needed for wheezing", unit: "inhaler", count: 1, refills: 3},
	{key: "fluticasoneinh", drug: "Fluticasone", form: "Inhalant", text: "Fluticasone 110 mcg/puff inhaler", sig: "1 puff twice daily, rinse mouth after use", unit: "inhaler", count: 1, refills: 5},
	{key: "tiotropium", drug: "Tiotropium", form: "Inhalant", text: "Tiotropium 2.5 mcg/puff inhaler", sig: "2 puffs once daily", unit: "inhaler", count: 1, refills: 5},
	{key: "triamcinolone", drug: "Triamcinolone", form: "Topical", strength: "0.1%", text: "Triamcinolone 0.1% cream", sig: "Apply thinly to rough patches twice daily as needed", unit: "tube", count: 1, refills: 2},
	{key: "adapalene", drug: "Adapalene", form: "Topical", strength: "0.1%", text: "Adapalene 0.1% gel", sig: "Apply a pea-sized amount at bedtime", unit: "tube", count: 1, refills: 3},
	{key: "methylphenidate", drug: "Methylphenidate XR", form: "Oral Pill", strength: "18 mg", text: "Methylphenidate ER 18 mg tablet", sig: "1 tablet by mouth every morning", unit: "tablet", count: 30},
	{key: "acetaminophen500", drug: "Acetaminophen", form: "Oral Pill", strength: "500 mg", text: "Acetaminophen 500 mg tablet", sig: "2 tablets by mouth every 8 hours as needed for pain", unit: "tablet", count: 100, refills: 2},
	{key: "allopurinol100", drug: "Allopurinol", form: "Oral Pill", strength: "100 mg", text: "Allopurinol 100 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3},
	{key: "allopurinol300", drug: "Allopurinol", form: "Oral Pill", strength: "300 mg", text: "Allopurinol 300 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3},
	{key: "apixaban5", drug: "Apixaban", form: "Oral Pill", strength: "5 mg", text: "Apixaban 5 mg tablet", sig: "1 tablet by mouth twice daily", unit: "tablet", count: 180, refills: 3},
	{key: "warfarin5", drug: "Warfarin", form: "Oral Pill", strength: "5 mg", text: "Warfarin 5 mg tablet", sig: "1 tablet by mouth every evening, or as told after each INR", unit: "tablet", count: 90, refills: 1},
	{key: "metoprolol50", drug: "Metoprolol XR", form: "Oral Pill", strength: "50 mg", text: "Metoprolol succinate ER 50 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3},
	{key: "furosemide40", drug: "Furosemide", form: "Oral Pill", strength: "40 mg", text: "Furosemide 40 mg tablet", sig: "1 tablet by mouth every morning", unit: "tablet", count: 90, refills: 3},
	{key: "carvedilol", drug: "Carvedilol", form: "Oral Pill", strength: "12.5 mg", text: "Carvedilol 12.5 mg tablet", sig: "1 tablet by mouth twice daily with food", unit: "tablet", count: 180, refills: 3},
	{key: "aspirin81", drug: "Aspirin", form: "Oral Pill", strength: "81 mg", text: "Aspirin 81 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3, class: "Aspirin"},
	{key: "alendronate70", drug: "Alendronate", form: "Oral Pill", strength: "70 mg", text: "Alendronate 70 mg tablet", sig: "1 tablet by mouth once a week with a full glass of water; stay upright 30 minutes", unit: "tablet", count: 12, refills: 3},
	{key: "iron325", drug: "Ferrous sulfate", form: "Oral Pill", strength: "325 mg", text: "Ferrous sulfate 325 mg tablet", sig: "1 tablet by mouth every other day", unit: "tablet", count: 45, refills: 3},
	{key: "vitamind", drug: "Cholecalciferol", form: "Oral Pill", strength: "2,000 unt", text: "Cholecalciferol (vitamin D3) 2,000 units", sig: "1 by mouth daily", unit: "tablet", count: 90, refills: 3},
	{key: "cetirizine10", drug: "Cetirizine", form: "Oral Pill", strength: "10 mg", text: "Cetirizine 10 mg tablet", sig: "1 tablet by mouth daily in the season", unit: "tablet", count: 90, refills: 3},
	{key: "sumatriptan50", drug: "Sumatriptan", form: "Oral Pill", strength: "50 mg", text: "Sumatriptan 50 mg tablet", sig: "1 tablet by mouth at onset of migraine, may repeat once after 2 hours", unit: "tablet", count: 9, refills: 3},
	{key: "tamsulosin", drug: "Tamsulosin", form: "Oral Pill", strength: "0.4 mg", text: "Tamsulosin 0.4 mg capsule", sig: "1 capsule by mouth daily after the same meal", unit: "capsule", count: 90, refills: 3},
	{key: "norgestimate", drug: "Ethinyl estradiol/norgestimate", form: "Oral Pill", text: "Norgestimate and ethinyl estradiol tablets", sig: "1 tablet by mouth daily", unit: "pack", count: 3, refills: 3},
	{key: "folicacid", drug: "Folic acid", form: "Oral Pill", strength: "0.4 mg", text: "Folic acid 0.4 mg tablet", sig: "1 tablet by mouth daily", unit: "tablet", count: 90, refills: 3},

	{key: "amoxicillin500", drug: "Amoxicillin", form: "Oral Pill", strength: "500 mg", text: "Amoxicillin 500 mg tablet", sig: "1 tablet by mouth twice daily for 10 days", unit: "tablet", count: 20, class: "Penicillins", course: 10},
	{key: "amoxicillinliq", drug: "Amoxicillin", form: "Oral Liquid", strength: "400 mg/5ml", text: "Amoxicillin 400 mg/5 mL suspension", sig: "By weight, twice daily for 10 days", unit: "bottle", count: 1, class: "Penicillins", course: 10},
	{key: "amoxclav", drug: "Amoxicillin/clavulanate", form: "Oral Pill", strength: "875-125 mg", text: "Amoxicillin and clavulanate 875/125 mg tablet", sig: "1 tablet by mouth twice daily for 7 days", unit: "tablet", count: 14, class: "Penicillins", course: 7},
	{key: "azithromycin", drug: "Azithromycin", form: "Oral Pill", strength: "250 mg", text: "Azithromycin 250 mg tablet", sig: "2 tablets on day 1, then 1 tablet daily for 4 days", unit: "tablet", count: 6, course: 5},
	{key: "azithromycinliq", drug: "Azithromycin", form: "Oral Liquid", strength: "200 mg/5ml", text: "Azithromycin 200 mg/5 mL suspension", sig: "By weight, once daily for 5 days", unit: "bottle", count: 1, course: 5},
	{key: "doxycycline100", drug: "Doxycycline", form: "Oral Pill", strength: "100 mg", text: "Doxycycline 100 mg tablet", sig: "1 tablet by mouth twice daily for 7 days", unit: "tablet", count: 14, course: 7},
	{key: "nitrofurantoin", drug: "Nitrofurantoin", form: "Oral Pill", strength: "100 mg", text: "Nitrofurantoin 100 mg capsule", sig: "1 capsule by mouth twice daily for 5 days", unit: "capsule", count: 10, course: 5},
	{key: "cephalexin500", drug: "Cephalexin", form: "Oral Pill", strength: "500 mg", text: "Cephalexin 500 mg tablet", sig: "1 tablet by mouth four times daily for 7 days", unit: "tablet", count: 28, class: "Penicillins", course: 7},
	{key: "naproxen500", drug: "Naproxen", form: "Oral Pill", strength: "500 mg", text: "Naproxen 500 mg tablet", sig: "1 tablet by mouth twice daily with food for 7 days", unit: "tablet", count: 14, course: 7},
	{key: "cyclobenzaprine", drug: "Cyclobenzaprine", form: "Oral Pill", strength: "5 mg", text: "Cyclobenzaprine 5 mg tablet", sig: "1 tablet by mouth at bedtime as needed for spasm", unit: "tablet", count: 10, course: 10},
	{key: "benzonatate", drug: "Benzonatate", form: "Oral Pill", strength: "100 mg", text: "Benzonatate 100 mg capsule", sig: "1 capsule by mouth three times daily as needed for cough", unit: "capsule", count: 20, course: 7},
	{key: "oseltamivir", drug: "Oseltamivir", form: "Oral Pill", strength: "75 mg", text: "Oseltamivir 75 mg capsule", sig: "1 capsule by mouth twice daily for 5 days", unit: "capsule", count: 10, course: 5},
	{key: "ondansetron", drug: "Ondansetron", form: "Oral Disintegrating", strength: "4 mg", text: "Ondansetron 4 mg disintegrating tablet", sig: "1 tablet every 8 hours as needed for vomiting", unit: "tablet", count: 6, course: 3},
	{key: "triamcinolonecourse", drug: "Triamcinolone", form: "Topical", strength: "0.1%", text: "Triamcinolone 0.1% cream", sig: "Apply twice daily for 10 days", unit: "tube", count: 1, course: 10},
	{key: "polytrim", drug: "Polymyxin b/trimethoprim", form: "Ophthalmic", text: "Polymyxin B and trimethoprim eye drops", sig: "1 drop in the red eye every 4 hours while awake for 7 days", unit: "bottle", count: 1, course: 7},
	{key: "clotrimazole", drug: "Clotrimazole", form: "Topical", strength: "1%", text: "Clotrimazole 1% cream", sig: "Apply between the toes twice daily for 4 weeks", unit: "tube", count: 1, course: 28},
}

func medicineOf(key string) *medicine {
	for i := range medicines {
		if medicines[i].key == key {
			return &medicines[i]
		}
	}
	panic("simulate: no medicine " + key)
}

// code finds the RxNorm code of a medicine: the clinical drug where the starter set knows
// it, else the drug by dose form.
func (m *medicine) code() (code, display string) {
	for _, c := range terminology.Search(terminology.RxNorm, m.drug, 40) {
		if c.Display != m.drug || c.Group != m.form {
			continue
		}
		for _, s := range c.Strengths {
			if s.Text == m.strength && s.Code != "" {
				return s.Code, m.text
			}
		}
		return c.Code, c.Display + " (" + c.Group + ")"
	}
	return "", ""
}

// allowed reports whether a patient's allergies leave the medicine open.
func (p *patient) allowed(m *medicine) bool {
	switch m.class {
	case "Penicillins":
		return !p.avoids("Penicillins", "Amoxicillin")
	case "Statins":
		return !p.avoids("Statins")
	case "":
		return true
	}
	return !p.avoids(m.class)
}
