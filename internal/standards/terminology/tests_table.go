package terminology

// The tests. Intervals are those in everyday clinical use in the US for adults; children
// get their own where they differ much and are common in family practice.
var tests = []Test{
	// Vital signs, as US Core and FHIR R4 name them.
	{Code: "8480-6", Name: "Systolic blood pressure", Category: vital, Unit: "mm[Hg]", Show: "mmHg", Panel: panelBP, Ranges: grown(90, 139), Min: 20, Max: 350, CritLow: 70, CritHigh: 180, Words: []string{"BP", "SBP"}},
	{Code: "8462-4", Name: "Diastolic blood pressure", Category: vital, Unit: "mm[Hg]", Show: "mmHg", Panel: panelBP, Ranges: grown(50, 89), Min: 5, Max: 250, CritLow: 35, CritHigh: 120, Words: []string{"BP", "DBP"}},
	{Code: "8867-4", Name: "Heart rate", Category: vital, Unit: "/min", Show: "/min", Panel: panelVitals, Ranges: []Range{{From: 0, To: 1, Low: 90, High: 180}, {From: 1, To: 3, Low: 80, High: 150}, {From: 3, To: 12, Low: 65, High: 130}, {From: 12, Low: 50, High: 100}}, Min: 10, Max: 350, CritLow: 40, CritHigh: 150, Words: []string{"pulse", "HR"}},
	{Code: "9279-1", Name: "Respiratory rate", Category: vital, Unit: "/min", Show: "/min", Panel: panelVitals, Ranges: []Range{{From: 0, To: 1, Low: 26, High: 60}, {From: 1, To: 3, Low: 20, High: 40}, {From: 3, To: 12, Low: 16, High: 30}, {From: 12, Low: 10, High: 20}}, Min: 2, Max: 120, CritLow: 8, CritHigh: 30, Words: []string{"breathing", "RR"}},
	{Code: "8310-5", Name: "Body temperature", Category: vital, Unit: "[degF]", Show: "°F", Decimals: 1, Panel: panelVitals, Ranges: all(95, 100.3), Min: 75, Max: 115, CritHigh: 104, Words: []string{"fever", "temp"}},
	{Code: "59408-5", Name: "Oxygen saturation", Category: vital, Unit: "%", Show: "%", Panel: panelVitals, Ranges: all(94, 100), Min: 20, Max: 100, CritLow: 88, Words: []string{"SpO2", "pulse ox"}},
	{Code: "29463-7", Name: "Body weight", Category: vital, Unit: "[lb_av]", Show: "lb", Decimals: 1, Panel: panelVitals, Min: 0.5, Max: 1500},
	{Code: "8302-2", Name: "Body height", Category: vital, Unit: "[in_i]", Show: "in", Decimals: 1, Panel: panelVitals, Min: 5, Max: 110, Words: []string{"length", "stature"}},
	{Code: "39156-5", Name: "Body mass index", Category: vital, Unit: "kg/m2", Show: "kg/m²", Decimals: 1, Panel: panelVitals, Ranges: []Range{{From: 20, Low: 18.5, High: 29.9}}, Min: 3, Max: 250, Words: []string{"BMI"}},
	{Code: "9843-4", Name: "Head circumference", Category: vital, Unit: "cm", Show: "cm", Decimals: 1, Min: 15, Max: 80},
	{Code: "59576-9", Name: "BMI percentile for age and sex", Category: vital, Unit: "%", Show: "%", Decimals: 0, Max: 100},
	{Code: "77606-2", Name: "Weight-for-length percentile", Category: vital, Unit: "%", Show: "%", Decimals: 0, Max: 100},
	{Code: "8289-1", Name: "Head circumference percentile", Category: vital, Unit: "%", Show: "%", Decimals: 0, Max: 100},
	{Code: "3150-6", Name: "Inhaled oxygen concentration", Category: vital, Unit: "%", Show: "%", Min: 20, Max: 100},
	{Code: "3151-8", Name: "Inhaled oxygen flow rate", Category: vital, Unit: "L/min", Show: "L/min", Decimals: 1, Max: 80},

	// Metabolic panels.
	{Code: "2345-7", Name: "Glucose", Category: lab, Unit: "mg/dL", Show: "mg/dL", Panel: panelBMP, Ranges: all(70, 99), Min: 10, Max: 1500, CritLow: 50, CritHigh: 400, Words: []string{"blood sugar", "FBS"}},
	{Code: "3094-0", Name: "Urea nitrogen", Category: lab, Unit: "mg/dL", Show: "mg/dL", Panel: panelBMP, Ranges: all(7, 20), Min: 1, Max: 250, CritHigh: 100, Words: []string{"BUN"}},
	{Code: "2160-0", Name: "Creatinine", Category: lab, Unit: "mg/dL", Show: "mg/dL", Decimals: 2, Panel: panelBMP, Ranges: []Range{{Sex: "female", From: 18, Low: 0.5, High: 1.1}, {Sex: "male", From: 18, Low: 0.7, High: 1.3}, {From: 0, To: 18, Low: 0.2, High: 0.9}}, Min: 0.1, Max: 30, CritHigh: 5},
	{Code: "98979-8", Name: "eGFR (2021 CKD-EPI)", Category: lab, Unit: "mL/min/{1.73_m2}", Show: "mL/min/1.73 m²", Panel: panelBMP, Ranges: []Range{{From: 18, Low: 60}}, Min: 1, Max: 200, CritLow: 15, Words: []string{"GFR", "kidney function"}},
	{Code: "2951-2", Name: "Sodium", Category: lab, Unit: "mmol/L", Show: "mmol/L", Panel: panelBMP, Ranges: all(135, 145), Min: 95, Max: 190, CritLow: 120, CritHigh: 160, Words: []string{"Na"}},
	{Code: "2823-3", Name: "Potassium", Category: lab, Unit: "mmol/L", Show: "mmol/L", Decimals: 1, Panel: panelBMP, Ranges: all(3.5, 5.1), Min: 1.5, Max: 10, CritLow: 2.8, CritHigh: 6, Words: []string{"K"}},
	{Code: "2075-0", Name: "Chloride", Category: lab, Unit: "mmol/L", Show: "mmol/L", Panel: panelBMP, Ranges: all(98, 107), Min: 60, Max: 150, Words: []string{"Cl"}},
	{Code: "2028-9", Name: "Carbon dioxide", Category: lab, Unit: "mmol/L", Show: "mmol/L", Panel: panelBMP, Ranges: all(22, 29), Min: 5, Max: 60, CritLow: 10, CritHigh: 40, Words: []string{"CO2", "bicarbonate"}},
	{Code: "17861-6", Name: "Calcium", Category: lab, Unit: "mg/dL", Show: "mg/dL", Decimals: 1, Panel: panelBMP, Ranges: all(8.5, 10.5), Min: 3, Max: 20, CritLow: 6.5, CritHigh: 13, Words: []string{"Ca"}},
	{Code: "2885-2", Name: "Total protein", Category: lab, Unit: "g/dL", Show: "g/dL", Decimals: 1, Panel: panelCMP, Ranges: all(6, 8.3), Min: 2, Max: 15},
	{Code: "1751-7", Name: "Albumin", Category: lab, Unit: "g/dL", Show: "g/dL", Decimals: 1, Panel: panelCMP, Ranges: all(3.5, 5), Min: 0.5, Max: 8},
	{Code: "1975-2", Name: "Bilirubin, total", Category: lab, Unit: "mg/dL", Show: "mg/dL", Decimals: 1, Panel: panelCMP, Ranges: []Range{{From: 0.1, Low: 0.1, High: 1.2}}, Min: 0, Max: 60},
	{Code: "6768-6", Name: "Alkaline phosphatase", Category: lab, Unit: "U/L", Show: "U/L", Panel: panelCMP, Ranges: grown(40, 129), Min: 5, Max: 5000, Words: []string{"ALP", "alk phos"}},
	{Code: "1742-6", Name: "ALT", Category: lab, Unit: "U/L", Show: "U/L", Panel: panelCMP, Ranges: all(7, 45), Min: 1, Max: 20000, Words: []string{"SGPT", "liver tests", "LFT"}},
	{Code: "1920-8", Name: "AST", Category: lab, Unit: "U/L", Show: "U/L", Panel: panelCMP, Ranges: all(8, 40), Min: 1, Max: 20000, Words: []string{"SGOT", "liver tests", "LFT"}},
	{Code: "19123-9", Name: "Magnesium", Category: lab, Unit: "mg/dL", Show: "mg/dL", Decimals: 1, Ranges: all(1.6, 2.6), Min: 0.3, Max: 15, CritLow: 1, CritHigh: 4.9, Words: []string{"Mg"}},
	{Code: "2777-1", Name: "Phosphate", Category: lab, Unit: "mg/dL", Show: "mg/dL", Decimals: 1, Ranges: grown(2.5, 4.5), Min: 0.3, Max: 20, Words: []string{"phosphorus"}},
	{Code: "3084-1", Name: "Uric acid", Category: lab, Unit: "mg/dL", Show: "mg/dL", Decimals: 1, Ranges: bySex(2.4, 6, 3.4, 7), Min: 0.5, Max: 25, Words: []string{"urate", "gout"}},
	{Code: "1558-6", Name: "Glucose, fasting", Category: lab, Unit: "mg/dL", Show: "mg/dL", Ranges: all(70, 99), Min: 10, Max: 1500, CritLow: 50, CritHigh: 400},

	// Blood count.
	{Code: "6690-2", Name: "White blood cells", Category: lab, Unit: "10*3/uL", Show: "10³/µL", Decimals: 1, Panel: panelCBC, Ranges: []Range{{From: 18, Low: 4, High: 11}, {From: 2, To: 18, Low: 4.5, High: 13.5}, {From: 0, To: 2, Low: 6, High: 17.5}}, Min: 0.1, Max: 500, CritLow: 1.5, CritHigh: 30, Words: []string{"WBC", "leukocytes"}},
	{Code: "789-8", Name: "Red blood cells", Category: lab, Unit: "10*6/uL", Show: "10⁶/µL", Decimals: 2, Panel: panelCBC, Ranges: bySex(3.8, 5.1, 4.2, 5.8), Min: 0.5, Max: 10, Words: []string{"RBC"}},
	{Code: "718-7", Name: "Hemoglobin", Category: lab, Unit: "g/dL", Show: "g/dL", Decimals: 1, Panel: panelCBC, Ranges: []Range{{Sex: "female", From: 18, Low: 12, High: 15.5}, {Sex: "male", From: 18, Low: 13.2, High: 17.1}, {From: 12, To: 18, Low: 11.9, High: 15.5}, {From: 2, To: 12, Low: 11.5, High: 14.5}, {From: 0.5, To: 2, Low: 10.5, High: 13.5}}, Min: 1.5, Max: 26, CritLow: 7, CritHigh: 20, Words: []string{"Hgb", "Hb"}},
	{Code: "4544-3", Name: "Hematocrit", Category: lab, Unit: "%", Show: "%", Decimals: 1, Panel: panelCBC, Ranges: []Range{{Sex: "female", From: 18, Low: 36, High: 46}, {Sex: "male", From: 18, Low: 39, High: 50}, {From: 0.5, To: 18, Low: 33, High: 45}}, Min: 5, Max: 80, CritLow: 21, Words: []string{"Hct"}},
	{Code: "787-2", Name: "MCV", Category: lab, Unit: "fL", Show: "fL", Panel: panelCBC, Ranges: []Range{{From: 12, Low: 80, High: 100}, {From: 2, To: 12, Low: 75, High: 90}, {From: 0.5, To: 2, Low: 70, High: 86}}, Min: 40, Max: 160},
	{Code: "785-6", Name: "MCH", Category: lab, Unit: "pg", Show: "pg", Decimals: 1, Panel: panelCBC, Ranges: []Range{{From: 12, Low: 27, High: 33}, {From: 0.5, To: 12, Low: 23, High: 31}}, Min: 10, Max: 60},
	{Code: "786-4", Name: "MCHC", Category: lab, Unit: "g/dL", Show: "g/dL", Decimals: 1, Panel: panelCBC, Ranges: all(32, 36), Min: 20, Max: 50},
	{Code: "788-0", Name: "RDW", Category: lab, Unit: "%", Show: "%", Decimals: 1, Panel: panelCBC, Ranges: all(11.5, 15), Min: 5, Max: 45},
	{Code: "777-3", Name: "Platelets", Category: lab, Unit: "10*3/uL", Show: "10³/µL", Panel: panelCBC, Ranges: all(150, 450), Min: 1, Max: 3000, CritLow: 30, CritHigh: 1000},

	// Lipids.
	{Code: "2093-3", Name: "Total cholesterol", Category: lab, Unit: "mg/dL", Show: "mg/dL", Panel: panelLipid, Ranges: []Range{{High: 199}}, Min: 30, Max: 1000},
	{Code: "2571-8", Name: "Triglycerides", Category: lab, Unit: "mg/dL", Show: "mg/dL", Panel: panelLipid, Ranges: []Range{{High: 149}}, Min: 10, Max: 10000, CritHigh: 1000, Words: []string{"TG"}},
	{Code: "2085-9", Name: "HDL cholesterol", Category: lab, Unit: "mg/dL", Show: "mg/dL", Panel: panelLipid, Ranges: []Range{{Sex: "female", From: 18, Low: 50}, {Sex: "male", From: 18, Low: 40}, {To: 18, Low: 45}}, Min: 5, Max: 200, Words: []string{"good cholesterol"}},
	{Code: "13457-7", Name: "LDL cholesterol", Category: lab, Unit: "mg/dL", Show: "mg/dL", Panel: panelLipid, Ranges: []Range{{High: 99}}, Min: 5, Max: 700, Words: []string{"bad cholesterol"}},

	// Diabetes and kidney.
	{Code: "4548-4", Name: "Hemoglobin A1c", Category: lab, Unit: "%", Show: "%", Decimals: 1, Ranges: []Range{{Low: 4, High: 5.6}}, Min: 3, Max: 20, CritHigh: 14, Words: []string{"A1c", "HbA1c", "glycated", "diabetes test"}},
	{Code: "9318-7", Name: "Urine albumin/creatinine", Category: lab, Unit: "mg/g", Show: "mg/g", Panel: panelUACR, Ranges: []Range{{High: 29}}, Min: 0, Max: 20000, Words: []string{"UACR", "microalbumin", "ACR"}},

	// Thyroid, vitamins, iron, hormones.
	{Code: "3016-3", Name: "TSH", Category: lab, Unit: "m[IU]/L", Show: "mIU/L", Decimals: 2, Ranges: all(0.4, 4.5), Min: 0.001, Max: 500, Words: []string{"thyroid", "thyrotropin"}},
	{Code: "3024-7", Name: "Free T4", Category: lab, Unit: "ng/dL", Show: "ng/dL", Decimals: 2, Ranges: all(0.8, 1.8), Min: 0.05, Max: 15, Words: []string{"thyroxine", "thyroid"}},
	{Code: "1989-3", Name: "Vitamin D, 25-hydroxy", Category: lab, Unit: "ng/mL", Show: "ng/mL", Ranges: all(30, 100), Min: 1, Max: 400},
	{Code: "2132-9", Name: "Vitamin B12", Category: lab, Unit: "pg/mL", Show: "pg/mL", Ranges: all(232, 1245), Min: 20, Max: 10000},
	{Code: "2284-8", Name: "Folate", Category: lab, Unit: "ng/mL", Show: "ng/mL", Decimals: 1, Ranges: []Range{{Low: 3}}, Min: 0.2, Max: 60},
	{Code: "2276-4", Name: "Ferritin", Category: lab, Unit: "ng/mL", Show: "ng/mL", Ranges: bySex(16, 154, 38, 380), Min: 1, Max: 50000, Words: []string{"iron"}},
	{Code: "2498-4", Name: "Iron", Category: lab, Unit: "ug/dL", Show: "µg/dL", Ranges: all(40, 175), Min: 2, Max: 1000},
	{Code: "2500-7", Name: "Iron binding capacity", Category: lab, Unit: "ug/dL", Show: "µg/dL", Ranges: all(250, 425), Min: 50, Max: 1000, Words: []string{"TIBC"}},
	{Code: "2986-8", Name: "Testosterone, total", Category: lab, Unit: "ng/dL", Show: "ng/dL", Ranges: bySex(2, 45, 250, 1100), Min: 1, Max: 5000},

	// Heart, clotting, inflammation.
	{Code: "6301-6", Name: "INR", Category: lab, Unit: "{INR}", Show: "", Decimals: 1, Panel: panelPT, Ranges: all(0.9, 1.1), Min: 0.5, Max: 20, CritHigh: 5, Words: []string{"warfarin", "coumadin", "PT"}},
	{Code: "5902-2", Name: "Prothrombin time", Category: lab, Unit: "s", Show: "s", Decimals: 1, Panel: panelPT, Ranges: all(9, 11.5), Min: 5, Max: 150, Words: []string{"PT"}},
	{Code: "33762-6", Name: "NT-proBNP", Category: lab, Unit: "pg/mL", Show: "pg/mL", Ranges: []Range{{From: 75, High: 450}, {From: 18, High: 125}}, Min: 1, Max: 70000, Words: []string{"heart failure", "BNP"}},
	{Code: "1988-5", Name: "C-reactive protein", Category: lab, Unit: "mg/L", Show: "mg/L", Decimals: 1, Ranges: []Range{{High: 8}}, Min: 0, Max: 700, Words: []string{"CRP"}},
	{Code: "4537-7", Name: "Sedimentation rate", Category: lab, Unit: "mm/h", Show: "mm/h", Ranges: []Range{{Sex: "female", High: 30}, {Sex: "male", High: 20}}, Min: 0, Max: 160, Words: []string{"ESR", "sed rate"}},
	{Code: "2157-6", Name: "Creatine kinase", Category: lab, Unit: "U/L", Show: "U/L", Ranges: all(30, 200), Min: 5, Max: 200000, Words: []string{"CK", "CPK"}},
	{Code: "48065-7", Name: "D-dimer", Category: lab, Unit: "ug/mL{FEU}", Show: "µg/mL FEU", Decimals: 2, Ranges: []Range{{High: 0.49}}, Min: 0, Max: 100},
	{Code: "2857-1", Name: "PSA", Category: lab, Unit: "ng/mL", Show: "ng/mL", Decimals: 1, Ranges: []Range{{Sex: "male", High: 4}}, Min: 0, Max: 10000, Words: []string{"prostate"}},

	// Infection and urine.
	{Code: "5811-5", Name: "Urine specific gravity", Category: lab, Unit: "{ratio}", Show: "", Decimals: 3, Panel: panelUrine, Ranges: all(1.005, 1.03), Min: 1, Max: 1.06},
	{Code: "5803-2", Name: "Urine pH", Category: lab, Unit: "[pH]", Show: "", Decimals: 1, Panel: panelUrine, Ranges: all(5, 8), Min: 4, Max: 10},
	{Code: "20454-5", Name: "Urine protein", Category: lab, Panel: panelUrine},
	{Code: "25428-4", Name: "Urine glucose", Category: lab, Panel: panelUrine},
	{Code: "5797-6", Name: "Urine ketones", Category: lab, Panel: panelUrine},
	{Code: "5794-3", Name: "Urine blood", Category: lab, Panel: panelUrine},
	{Code: "5802-4", Name: "Urine nitrite", Category: lab, Panel: panelUrine},
	{Code: "5799-2", Name: "Urine leukocyte esterase", Category: lab, Panel: panelUrine},
	{Code: "630-4", Name: "Urine culture", Category: lab},
	{Code: "2106-3", Name: "Urine pregnancy test", Category: lab, Words: []string{"hCG", "UPT"}},
	{Code: "78012-2", Name: "Rapid strep A", Category: lab, Words: []string{"strep test", "throat"}},
	{Code: "80382-5", Name: "Influenza A antigen", Category: lab, Words: []string{"flu test"}},
	{Code: "80383-3", Name: "Influenza B antigen", Category: lab, Words: []string{"flu test"}},
	{Code: "94558-4", Name: "SARS-CoV-2 antigen", Category: lab, Words: []string{"COVID test"}},
	{Code: "94500-6", Name: "SARS-CoV-2 RNA", Category: lab, Words: []string{"COVID PCR"}},
	{Code: "57905-2", Name: "Stool blood, immunochemical", Category: lab, Words: []string{"FIT", "colon cancer screening"}},
	{Code: "5671-3", Name: "Lead, blood", Category: lab, Unit: "ug/dL", Show: "µg/dL", Decimals: 1, Ranges: []Range{{High: 3.4}}, Min: 0, Max: 200, CritHigh: 45},
	{Code: "13955-0", Name: "Hepatitis C antibody", Category: lab},
	{Code: "56888-1", Name: "HIV 1 and 2 antigen and antibody", Category: lab},
}
