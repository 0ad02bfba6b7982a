package main

// The samples are resources we made up, in the shapes that US Core and common practice give them. Names,
// numbers and dates are invented; codes and system URLs are facts,
// except those under the SNOMED CT system, which are made up like everything else.

const (
	pat  = `{"reference":"Patient/3f6e2a10-5b7c-4d8e-9f01-a2b3c4d5e6f7"}`
	patD = `{"reference":"Patient/3f6e2a10-5b7c-4d8e-9f01-a2b3c4d5e6f7","display":"Mrs. Robin Hartwell"}`
	enc  = `{"reference":"Encounter/7a1b2c3d-4e5f-4601-8293-a4b5c6d7e8f9"}`
	prac = `{"reference":"Practitioner/0c9d8e7f-6a5b-4c3d-8e1f-2a3b4c5d6e7f","display":"Dr. Morgan Ellery"}`
	org  = `{"reference":"Organization/b1a2c3d4-e5f6-4788-99aa-bbccddeeff00","display":"Willow Street Family Practice"}`
	loc  = `{"reference":"Location/d4c3b2a1-f6e5-4877-8a99-ffeeddccbbaa","display":"Willow Street Family Practice"}`
)

// family is one dictionary: its types, then samples from rare to common, since what stands last is cheapest
// to refer to.
type family struct {
	id      int
	types   string
	samples []string
}

func families() []family {
	return []family{
		{1, "Observation", observations()},
		{2, "Encounter,EpisodeOfCare,Appointment,AppointmentResponse,Schedule,Slot", visits()},
		{3, "Condition,AllergyIntolerance,FamilyMemberHistory,Flag,ClinicalImpression,AdverseEvent,RiskAssessment,DetectedIssue", problems()},
		{4, "MedicationRequest,MedicationStatement,MedicationAdministration,MedicationDispense,Medication,Immunization,ImmunizationRecommendation", medicines()},
		{5, "Procedure,ServiceRequest,Specimen,SupplyDelivery,SupplyRequest,Device,DeviceRequest,DeviceUseStatement,ImagingStudy,Media,NutritionOrder", procedures()},
		{6, "DiagnosticReport,DocumentReference,DocumentManifest,Composition,List,Binary", documents()},
		{7, "Claim,ClaimResponse,ExplanationOfBenefit,Coverage,CoverageEligibilityRequest,CoverageEligibilityResponse,ChargeItem,Account,Invoice,PaymentNotice,PaymentReconciliation", money()},
		{8, "Patient,RelatedPerson,Person,Practitioner,PractitionerRole,Organization,Location,HealthcareService,Endpoint", people()},
		{9, "CarePlan,CareTeam,Goal,Task,Communication,CommunicationRequest,QuestionnaireResponse,Questionnaire,Consent", plans()},
		{10, "Provenance,AuditEvent", records()},
		{11, "*", nil}, // filled with the most common samples of the others
	}
}

func coding(system, code, display string) string {
	return `{"system":"` + system + `","code":"` + code + `","display":"` + display + `"}`
}

func concept(system, code, display string) string {
	return `{"coding":[` + coding(system, code, display) + `],"text":"` + display + `"}`
}

const (
	loinc  = "http://loinc.org"
	snomed = "http://snomed.info/sct"
	rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
	ucum   = "http://unitsofmeasure.org"
	hl7    = "http://terminology.hl7.org/CodeSystem/"
	core   = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
	icd    = "http://hl7.org/fhir/sid/icd-10-cm"
)

func observations() []string {
	obs := func(profile, category, categoryText, code, name, when, value string) string {
		return `{"resourceType":"Observation","meta":{"profile":["` + profile + `"]},"status":"final","category":[{"coding":[` +
			coding(hl7+"observation-category", category, categoryText) + `]}],"code":` + concept(loinc, code, name) +
			`,"subject":` + pat + `,"encounter":` + enc + `,"effectiveDateTime":"` + when + `T09:14:27-05:00","issued":"` + when +
			`T09:14:27.582-05:00"` + value + `}`
	}
	quantity := func(value, unit string) string {
		return `,"valueQuantity":{"value":` + value + `,"unit":"` + unit + `","system":"` + ucum + `","code":"` + unit + `"}`
	}
	lab := core + "observation-lab"
	vital := "http://hl7.org/fhir/StructureDefinition/"
	out := []string{
		obs(core+"simple-observation", "sdoh", "SDOH", "76690-7", "Sexual orientation", "2024-02-11",
			`,"performer":[`+prac+`],"note":[{"text":"Reviewed with the patient."}],"interpretation":[{"coding":[`+coding(hl7+"v3-ObservationInterpretation", "N", "Normal")+`]}]`),
		obs(core+"smokingstatus", "social-history", "Social History", "72166-2", "Tobacco smoking status", "2023-08-30",
			`,"valueCodeableConcept":`+concept(snomed, "950112943", "Does not smoke (finding)")),
		obs(core+"observation-survey", "survey", "Survey", "44261-6", "Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]", "2022-11-02", quantity("7", "{score}")),
		obs(core+"observation-social-history", "social-history", "Social History", "82810-3", "Pregnancy status", "2021-03-18",
			`,"valueCodeableConcept":`+concept(snomed, "950534540", "No pregnancy (finding)")),
	}
	for i, l := range [][4]string{
		{"2339-0", "Glucose", "97.4", "mg/dL"}, {"6299-2", "Urea Nitrogen", "14.2", "mg/dL"}, {"38483-4", "Creatinine", "1.03", "mg/dL"},
		{"49765-1", "Calcium", "9.31", "mg/dL"}, {"2947-0", "Sodium", "139.5", "mmol/L"}, {"6298-4", "Potassium", "4.26", "mmol/L"},
		{"2069-3", "Chloride", "103.7", "mmol/L"}, {"20565-8", "Carbon Dioxide", "24.9", "mmol/L"},
		{"2093-3", "Total Cholesterol", "187.6", "mg/dL"}, {"2571-8", "Triglycerides", "132.8", "mg/dL"},
		{"18262-6", "Low Density Lipoprotein Cholesterol", "108.5", "mg/dL"}, {"2085-9", "High Density Lipoprotein Cholesterol", "52.4", "mg/dL"},
		{"33914-3", "Estimated Glomerular Filtration Rate", "88.1", "mL/min/{1.73_m2}"},
		{"718-7", "Hemoglobin [Mass/volume] in Blood", "13.9", "g/dL"}, {"6690-2", "Leukocytes [#/volume] in Blood by Automated count", "7.2", "10*3/uL"},
		{"4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "5.8", "%"},
	} {
		day := "20" + string(rune('1'+i%2)) + string(rune('0'+i%10)) + "-0" + string(rune('1'+i%9)) + "-1" + string(rune('0'+i%10))
		out = append(out, obs(lab, "laboratory", "laboratory", l[0], l[1], day, quantity(l[2], l[3])))
	}
	for i, v := range [][5]string{
		{"bodytemp", "8310-5", "Body temperature", "37.1", "Cel"}, {"oxygensat", "2708-6", "Oxygen saturation in Arterial blood", "97", "%"},
		{"headcircum", "9843-4", "Head Occipital-frontal circumference", "41.3", "cm"},
		{"bmi", "39156-5", "Body Mass Index", "26.4", "kg/m2"}, {"bodyheight", "8302-2", "Body Height", "171.8", "cm"},
		{"bodyweight", "29463-7", "Body Weight", "78.2", "kg"}, {"heartrate", "8867-4", "Heart rate", "72", "/min"},
		{"resprate", "9279-1", "Respiratory rate", "14", "/min"},
	} {
		day := "201" + string(rune('0'+i)) + "-0" + string(rune('2'+i%8)) + "-2" + string(rune('0'+i))
		body := obs(vital+v[0], "vital-signs", "vital-signs", v[1], v[2], day, quantity(v[3], v[4]))
		out = append(out, body)
	}
	part := func(code, name, value string) string {
		return `{"code":` + concept(loinc, code, name) + quantity(value, "mm[Hg]") + `}`
	}
	out = append(out, obs(vital+`bp","`+vital+`vitalsigns`, "vital-signs", "vital-signs", "85354-9", "Blood Pressure", "2020-05-06",
		`,"component":[`+part("8462-4", "Diastolic Blood Pressure", "79")+`,`+part("8480-6", "Systolic Blood Pressure", "122")+`]`))
	return out
}

func visits() []string {
	return []string{
		`{"resourceType":"Slot","schedule":{"reference":"Schedule/5d2c1b0a-9f8e-4d7c-8b6a-504f3e2d1c0b"},"status":"free","start":"2026-03-02T09:00:00-05:00","end":"2026-03-02T09:20:00-05:00"}`,
		`{"resourceType":"Schedule","active":true,"serviceType":[` + concept(hl7+"service-type", "124", "General Practice") + `],"actor":[` + prac + `,` + loc + `],"planningHorizon":{"start":"2026-01-01","end":"2026-12-31"}}`,
		`{"resourceType":"Appointment","status":"booked","serviceType":[` + concept(hl7+"service-type", "124", "General Practice") + `],"appointmentType":{"coding":[` + coding(hl7+"v2-0276", "FOLLOWUP", "A follow up visit from a previous appointment") + `]},"reasonCode":[{"text":"Blood pressure check"}],"description":"Follow-up","start":"2026-03-02T09:00:00-05:00","end":"2026-03-02T09:20:00-05:00","minutesDuration":20,"created":"2026-02-20T11:42:00-05:00","participant":[{"actor":` + patD + `,"required":"required","status":"accepted"},{"actor":` + prac + `,"required":"required","status":"accepted"},{"actor":` + loc + `,"status":"accepted"}]}`,
		visit("IMP", "inpatient encounter", "924775914", "Stay on the ward (procedure)", "2019-11-03", `,"reasonCode":[{"coding":[`+coding(snomed, "983802146", "Made-up heart trouble (disorder)")+`]}],"hospitalization":{"dischargeDisposition":{"coding":[`+coding(hl7+"discharge-disposition", "home", "Home")+`],"text":"Home"}}`),
		visit("EMER", "emergency", "951903761", "Urgent visit (procedure)", "2020-06-14", ""),
		visit("AMB", "ambulatory", "980142445", "Encounter for a check (procedure)", "2021-09-22", `,"reasonCode":[{"coding":[`+coding(snomed, "941875384", "Made-up pressure")+`]}]`),
		visit("AMB", "ambulatory", "991692913", "Encounter for a general examination (procedure)", "2023-04-17", ""),
	}
}

func visit(class, className, typ, name, day, more string) string {
	return `{"resourceType":"Encounter","meta":{"profile":["` + core + `encounter"]},"identifier":[{"use":"official","system":"https://example.org/fhir/visit","value":"7a1b2c3d-4e5f-4601-8293-a4b5c6d7e8f9"}],"status":"finished","class":` +
		`{"system":"` + hl7 + `v3-ActCode","code":"` + class + `","display":"` + className + `"},"type":[` + concept(snomed, typ, name) + `],"subject":` + patD +
		`,"participant":[{"type":[` + concept(hl7+"v3-ParticipationType", "PPRF", "primary performer") + `],"period":{"start":"` + day + `T08:31:12-05:00","end":"` + day + `T08:46:12-05:00"},"individual":` + prac +
		`}],"period":{"start":"` + day + `T08:31:12-05:00","end":"` + day + `T08:46:12-05:00"},"location":[{"location":` + loc + `}],"serviceProvider":` + org + more + `}`
}

func problems() []string {
	condition := func(code, day, category, categoryText, status, more string) string {
		return `{"resourceType":"Condition","meta":{"profile":["` + core + `condition-` + category + `"]},"clinicalStatus":{"coding":[{"system":"` + hl7 + `condition-clinical","code":"` + status + `"}]},"verificationStatus":{"coding":[{"system":"` + hl7 + `condition-ver-status","code":"confirmed"}]},"category":[{"coding":[` + coding(hl7+"condition-category", category, categoryText) + `]}],"code":` + code +
			`,"subject":` + pat + `,"encounter":` + enc + `,"onsetDateTime":"` + day + `T10:22:05-04:00"` + more + `,"recordedDate":"` + day + `T10:22:05-04:00"}`
	}
	return []string{
		`{"resourceType":"FamilyMemberHistory","status":"completed","patient":` + pat + `,"date":"2022-01-05","relationship":` + concept(hl7+"v3-RoleCode", "MTH", "mother") + `,"condition":[{"code":` + concept(icd, "E11.9", "Type 2 diabetes mellitus without complications") + `,"onsetAge":{"value":52,"unit":"a","system":"` + ucum + `","code":"a"}}]}`,
		`{"resourceType":"Flag","status":"active","category":[` + concept(hl7+"flag-category", "clinical", "Clinical") + `],"code":{"text":"Fall risk"},"subject":` + pat + `,"period":{"start":"2024-10-01"},"author":` + prac + `}`,
		`{"resourceType":"AllergyIntolerance","meta":{"profile":["` + core + `allergyintolerance"]},"clinicalStatus":{"coding":[{"system":"` + hl7 + `allergyintolerance-clinical","code":"active"}]},"verificationStatus":{"coding":[{"system":"` + hl7 + `allergyintolerance-verification","code":"confirmed"}]},"type":"allergy","category":["medication"],"criticality":"low","code":` + concept(rxnorm, "7984", "Penicillin V") + `,"patient":` + pat + `,"recordedDate":"2018-04-09T14:10:11-04:00","reaction":[{"manifestation":[` + concept(snomed, "925546617", "Itching patch (finding)") + `],"severity":"mild"}]}`,
		`{"resourceType":"AllergyIntolerance","clinicalStatus":{"coding":[{"system":"` + hl7 + `allergyintolerance-clinical","code":"active","display":"Active"}]},"verificationStatus":{"coding":[{"system":"` + hl7 + `allergyintolerance-verification","code":"unconfirmed"}]},"type":"intolerance","category":["food","environment"],"criticality":"high","code":{"text":"Peanut"},"patient":` + pat + `,"recorder":` + prac + `}`,
		condition(`{"coding":[`+coding(icd, "I10", "Essential (primary) hypertension")+`],"text":"High blood pressure"}`, "2017-05-20", "problem-list-item", "Problem List Item", "active", ""),
		condition(concept(icd, "E78.5", "Hyperlipidemia, unspecified"), "2019-12-11", "problem-list-item", "Problem List Item", "active", `,"recorder":`+prac),
		condition(concept(snomed, "908857389", "Made-up sugar trouble (disorder)"), "2016-08-25", "encounter-diagnosis", "Encounter Diagnosis", "active", ""),
		condition(concept(snomed, "958069805", "Made-up cold (disorder)"), "2020-02-07", "encounter-diagnosis", "Encounter Diagnosis", "resolved", `,"abatementDateTime":"2020-02-28T10:22:05-04:00"`),
	}
}

func medicines() []string {
	request := func(status, code, name, day, more string) string {
		return `{"resourceType":"MedicationRequest","meta":{"profile":["` + core + `medicationrequest"]},"status":"` + status + `","intent":"order","category":[` + concept(hl7+"medicationrequest-category", "community", "Community") + `],"medicationCodeableConcept":` + concept(rxnorm, code, name) + `,"subject":` + pat + `,"encounter":` + enc + `,"authoredOn":"` + day + `T15:03:41-05:00","requester":` + prac + more + `}`
	}
	dose := `,"dosageInstruction":[{"sequence":1,"text":"Take one tablet by mouth once daily.","timing":{"repeat":{"frequency":1,"period":1.0,"periodUnit":"d"}},"asNeededBoolean":false,"doseAndRate":[{"type":{"coding":[` + coding(hl7+"dose-rate-type", "ordered", "Ordered") + `]},"doseQuantity":{"value":1.0}}]}]`
	return []string{
		`{"resourceType":"Medication","meta":{"profile":["` + core + `medication"]},"code":` + concept(rxnorm, "243670", "Aspirin 81 MG Oral Tablet") + `,"status":"active"}`,
		`{"resourceType":"MedicationStatement","status":"active","medicationCodeableConcept":` + concept(rxnorm, "5640", "Ibuprofen") + `,"subject":` + pat + `,"effectivePeriod":{"start":"2023-01-04"},"dateAsserted":"2023-01-04","informationSource":` + pat + `}`,
		`{"resourceType":"MedicationDispense","status":"completed","medicationCodeableConcept":` + concept(rxnorm, "197361", "Amlodipine 5 MG Oral Tablet") + `,"subject":` + pat + `,"quantity":{"value":30,"unit":"tablet"},"daysSupply":{"value":30,"unit":"d","system":"` + ucum + `","code":"d"},"whenHandedOver":"2023-05-01"}`,
		`{"resourceType":"MedicationAdministration","status":"completed","medicationCodeableConcept":` + concept(rxnorm, "1659263", "1 ML heparin sodium, porcine 5000 UNT/ML Injection") + `,"subject":` + pat + `,"context":` + enc + `,"effectiveDateTime":"2020-03-27T08:13:35-04:00","reasonReference":[{"reference":"Condition/1e2d3c4b-5a69-4788-90a1-b2c3d4e5f607","display":"Condition"}],"dosage":{"dose":{"value":1}}}`,
		`{"resourceType":"Immunization","meta":{"profile":["` + core + `immunization"]},"status":"completed","vaccineCode":{"coding":[{"system":"http://hl7.org/fhir/sid/cvx","code":"115","display":"Tdap"}],"text":"Tdap"},"patient":` + pat + `,"encounter":` + enc + `,"occurrenceDateTime":"2019-10-08T11:20:00-05:00","primarySource":true,"location":` + loc + `,"lotNumber":"AB1234","site":{"text":"left deltoid"},"performer":[{"actor":` + prac + `}]}`,
		`{"resourceType":"Immunization","meta":{"profile":["` + core + `immunization"]},"status":"completed","vaccineCode":{"coding":[{"system":"http://hl7.org/fhir/sid/cvx","code":"140","display":"Influenza, seasonal, injectable, preservative free"}],"text":"Influenza, seasonal, injectable, preservative free"},"patient":` + pat + `,"encounter":` + enc + `,"occurrenceDateTime":"2021-10-19T09:40:12-05:00","primarySource":true,"location":` + loc + `}`,
		request("active", "860975", "24 HR Metformin hydrochloride 500 MG Extended Release Oral Tablet", "2022-06-13", dose),
		request("stopped", "314076", "lisinopril 10 MG Oral Tablet", "2018-07-30", `,"reasonReference":[{"reference":"Condition/1e2d3c4b-5a69-4788-90a1-b2c3d4e5f607"}]`+dose+`,"dispenseRequest":{"numberOfRepeatsAllowed":3,"quantity":{"value":90,"unit":"tablet"},"expectedSupplyDuration":{"value":90,"unit":"days","system":"`+ucum+`","code":"d"}}`),
		request("completed", "308192", "Amoxicillin 500 MG Oral Tablet", "2020-01-16", `,"dosageInstruction":[{"sequence":1,"text":"Take as needed.","asNeededBoolean":true}]`),
	}
}
