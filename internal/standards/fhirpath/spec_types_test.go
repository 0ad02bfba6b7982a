package fhirpath_test

// specificationTypes goes on with types, boundaries, and what FHIR R4 adds (http://hl7.org/fhir/R4/fhirpath.html).
const specificationTypes = `
# Types
1 is Integer => true
1 is System.Integer => true
1 is Decimal => false
1.0 is Decimal => true
1 'mg' is Quantity => true
'a' is String => true
@T10 is Time => true
{} is Integer => {}
(1 | 2) is Integer => !
1 is NoSuchType => !
1 is Foo.Integer => !
1 as Integer => 1
1 as String => {}
(1 | 2) as Integer => !
P: name.as(HumanName).use => !
P: Patient is Patient => true
P: Patient is FHIR.Patient => true
P: Patient is DomainResource => true
P: Patient is Resource => true
P: Patient is System.Patient => false
P: gender is code => true
P: gender is string => true
P: gender is System.String => false
P: active is boolean => true
P: active is Boolean => false
P: name.first() is Element => true
P: active.type().namespace => FHIR
P: active.type().name => boolean
P: Patient.type().name => Patient
1.type().namespace => System
1.type().name => Integer
'a'.type().name => String
O: value is Quantity => true
O: value as Quantity is Quantity => true
O: value.ofType(Quantity).value => 1.50
O: value.is(string) => false
O: valueQuantity.exists() => true
# Strict
strict P: Patient.name.given => Ada,Ngozi,Ade,
strict P: Patient.name.nothing => !
strict P: Patient.name.where(nothing = 1) => !
strict P: Observation.status => !
strict P: Patient.deceased.exists() => true
strict O: Observation.valueQuantity => !
strict O: (Observation.value as Period).unit => !
strict O: (Observation.value as Period).start => {}
strict O: Observation.value.ofType(Quantity).unit => kg
strict O: Observation.value.ofType(Quantity).start => !
strict O: Observation.component.where(code.text = 'b').value => 7
strict O: component.select(code | value).count() => 4
strict O: Observation.status.length() => 5
strict O: Observation.status.length().nothing => !
strict P: Patient.children().skip(1) => !
strict P: Patient.contained.name => Yarrow Field Clinic
strict P: name.exists(given.count() > period.begin) => !
strict P: repeat(contact).name => {}
# Elements: primitives, extensions, choices
P: birthDate.extension.url => http://hl7.org/fhir/StructureDefinition/patient-birthTime
P: birthDate.extension(%` + "`ext-patient-birthTime`" + `).exists() => true
P: birthDate.extension('none') => {}
P: birthDate.hasValue() => true
P: name[1].given[1].hasValue() => false
P: name.first().hasValue() => false
P: birthDate.getValue() is Date => true
P: name.first().getValue() => {}
P: deceased => false
P: multipleBirth + 1 => 3
P: children().count() > 10 => true
P: descendants().where($this is HumanName).count() => 2
# Variables
P: %resource.id => p1
P: %rootResource.id => p1
P: %context.id => p1
P: name.select(%resource.id) => p1,p1
%sct => http://snomed.info/sct
%loinc => http://loinc.org
%ucum => http://unitsofmeasure.org
%` + "`vs-administrative-gender`" + ` => http://hl7.org/fhir/ValueSet/administrative-gender
%'vs-administrative-gender' => http://hl7.org/fhir/ValueSet/administrative-gender
%vs-administrative-gender => http://hl7.org/fhir/ValueSet/administrative-gender
# resolve, conformsTo
P: managingOrganization.resolve().name => Yarrow Field Clinic
P: managingOrganization.reference.resolve().name => Yarrow Field Clinic
P: generalPractitioner.resolve().ofType(Organization).count() => 1
P: generalPractitioner.where(resolve() is Practitioner).reference => Practitioner/d1
P: conformsTo('http://hl7.org/fhir/StructureDefinition/Patient') => true
P: conformsTo('http://hl7.org/fhir/StructureDefinition/Group') => false
P: conformsTo('http://example.org/unknown') => !
{}.conformsTo('http://hl7.org/fhir/StructureDefinition/Patient') => {}
# Terminology
O: code.memberOf('http://example.org/weights') => true
O: code.coding.first().memberOf('http://example.org/weights') => true
O: status.memberOf('http://example.org/weights') => false
P: gender.memberOf('http://example.org/genders') => true
O: code.memberOf('http://example.org/none') => {}
{}.memberOf('http://example.org/weights') => {}
P: name.memberOf('http://example.org/weights') => {}
P: name.first().memberOf('http://example.org/weights') => !
O: code.subsumes(code) => true
O: code.coding.subsumedBy(code.coding) => true
{}.subsumes({}) => {}
P: checkModifiers('http://example.org/m').id => p1
# Boundaries and precision
1.587.lowBoundary() => 1.58650000
1.587.highBoundary() => 1.58750000
1.587.lowBoundary(4) => 1.5865
1.587.highBoundary(1) => 1.6
1.lowBoundary() => 0.50000000
(-1.5).lowBoundary(2) => -1.55
0.highBoundary(1) => 0.5
1.587.lowBoundary(-1) => {}
1.5 'mg'.highBoundary(3) => 1.550 'mg'
@2024.lowBoundary() => 2024-01-01
@2024.highBoundary() => 2024-12-31
@2024.highBoundary(6) => 2024-12
@2024-02.highBoundary() => 2024-02-29
@2023-02.highBoundary() => 2023-02-28
@2024-01-01T08.lowBoundary(17) => 2024-01-01T08:00:00.000+14:00
@2024-01-01T08.highBoundary(17) => 2024-01-01T08:59:59.999-12:00
@2024-01-01T08:05+02:00.highBoundary() => 2024-01-01T08:05:59.999+02:00
@T10:30.lowBoundary() => 10:30:00.000
@T10:30.highBoundary() => 10:30:59.999
@T10.highBoundary(4) => 10:59
{}.lowBoundary() => {}
'a'.lowBoundary() => !
1.58700.precision() => 5
1.precision() => 0
@2024.precision() => 4
@2024-03.precision() => 6
@2024-03-01.precision() => 8
@2024-03-01T10:30.precision() => 12
@2024-03-01T10:30:00.precision() => 14
@2024-03-01T10:30:00.000.precision() => 17
@T10:30.precision() => 4
@T10:30:00.000.precision() => 9
{}.precision() => {}
1 'cm'.comparable(1 '[in_i]') => true
1 'cm'.comparable(1 'kg') => false
# Narrative
'<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>'.htmlChecks() => false
'<p xmlns="http://www.w3.org/1999/xhtml">a</p>'.htmlChecks() => false
'<div xmlns="http://www.w3.org/1999/xhtml">a<br/></div>'.htmlChecks() => true
'<div xmlns="http://www.w3.org/1999/xhtml">a</div><div/>'.htmlChecks() => false
`
