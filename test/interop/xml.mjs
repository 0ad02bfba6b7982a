// fhir (the library) reads the XML that the server writes, and writes XML that the server takes.
import assert from 'node:assert/strict'
import fhir from 'fhir'
import { backendToken, base, say } from './place.mjs'

const token = await backendToken('system/*.cruds')
const { Fhir } = fhir
const lib = new Fhir()
const ask = (path, type, method = 'GET', body) => fetch(base + '/' + path, { method, body, headers: { Authorization: 'Bearer ' + token, Accept: type, ...(body && { 'Content-Type': type }) } })
// xhtml is told apart by white space alone, and decimals of JSON lose their last zeroes in JavaScript: both are left to our own tests.
const bare = o => JSON.parse(JSON.stringify(o, (k, v) => k === 'text' && v?.div || k === 'meta' ? undefined : typeof v === 'string' && /^-?\d+(\.\d+)?$/.test(v) ? Number(v) : v))
let n = 0
for (const type of ['Patient', 'Observation', 'Condition', 'Encounter', 'AllergyIntolerance', 'MedicationRequest', 'Immunization', 'Practitioner', 'Appointment', 'Procedure']) {
  const bundle = await (await ask(type + '?_count=5', 'application/fhir+json')).json()
  for (const { resource } of bundle.entry ?? []) {
    const path = type + '/' + resource.id
    const xml = await (await ask(path, 'application/fhir+xml')).text()
    assert.deepEqual(bare(lib.xmlToObj(xml)), bare(resource), path)
    const { id, meta, ...fresh } = resource
    const r = await ask(type + '/$validate', 'application/fhir+xml', 'POST', lib.objToXml(fresh))
    assert.equal(r.status, 200, path + ' ' + await r.text())
    n++
  }
}
assert.ok(n >= 20, n + ' resources')
say(`fhir: ${n} resources between JSON and XML`)
