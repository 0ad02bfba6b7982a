// FHIR clients: fhir-kit-client and @medplum/core write, read, search and send batches. A token comes from the demonstration's
// program that acts by itself, signed with jose.
import assert from 'node:assert/strict'
import { Client } from 'fhir-kit-client'
import { MedplumClient } from '@medplum/core'
import { backendToken, base, demo, say } from './place.mjs'

const token = await backendToken('system/*.cruds')
const kit = new Client({ baseUrl: base, bearerToken: token })

const statement = await kit.capabilityStatement()
assert.equal(statement.fhirVersion, '4.0.1')
const smart = await kit.smartAuthMetadata()
assert.equal(smart.tokenUrl.href ?? String(smart.tokenUrl), demo.url + '/demo/oauth/token')
say('fhir-kit-client: capability statement and SMART metadata')

const family = 'Interop' + Date.now()
const made = await kit.create({ resourceType: 'Patient', body: { resourceType: 'Patient', name: [{ family, given: ['Kit'] }], gender: 'male', birthDate: '1980-05-06' } })
assert.ok(made.id)
const read = await kit.read({ resourceType: 'Patient', id: made.id })
assert.equal(read.name[0].family, family)
const found = await kit.search({ resourceType: 'Patient', searchParams: { family } })
assert.equal(found.entry.filter(e => e.search.mode === 'match').length, 1)
await kit.update({ resourceType: 'Patient', id: made.id, body: { ...read, gender: 'female' } })
const history = await kit.history({ resourceType: 'Patient', id: made.id })
assert.equal(history.entry.length, 2)
assert.equal((await kit.vread({ resourceType: 'Patient', id: made.id, version: history.entry[1].resource.meta.versionId })).gender, 'male')
await kit.patch({ resourceType: 'Patient', id: made.id, jsonPatch: [{ op: 'replace', path: '/birthDate', value: '1981-01-02' }] })
assert.equal((await kit.read({ resourceType: 'Patient', id: made.id })).birthDate, '1981-01-02')
say('fhir-kit-client: create, read, search, update, history, vread, patch')

const batch = await kit.batch({ body: { resourceType: 'Bundle', type: 'batch', entry: [
  { request: { method: 'GET', url: 'Patient/' + made.id } },
  { request: { method: 'GET', url: 'Patient?family=' + family } },
  { request: { method: 'GET', url: 'Patient/is-not-there' } } ] } })
assert.deepEqual(batch.entry.map(e => e.response.status.slice(0, 3)), ['200', '200', '404'])
const first = 'urn:uuid:6f0d3a52-9d3c-4a57-8f43-0f3f2c0e4a11'
const whole = await kit.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry: [
  { fullUrl: first, resource: { resourceType: 'Patient', name: [{ family: family + 'T' }] }, request: { method: 'POST', url: 'Patient' } },
  { resource: { resourceType: 'Observation', status: 'final', code: { text: 'mood' }, subject: { reference: first }, valueString: 'good' }, request: { method: 'POST', url: 'Observation' } } ] } })
const [pat, obs] = whole.entry.map(e => e.response.location.split('/_history')[0].split('/').slice(-2))
assert.equal((await kit.read({ resourceType: 'Observation', id: obs[1] })).subject.reference, pat.join('/'))
let page = await kit.search({ resourceType: 'Observation', searchParams: { _count: 5 } })
const ids = new Set()
for (let i = 0; i < 4; i++) { page.entry.forEach(e => ids.add(e.resource.id)); page = await kit.nextPage({ bundle: page }) }
assert.equal(ids.size, 20)
await kit.delete({ resourceType: 'Observation', id: obs[1] })
await assert.rejects(kit.read({ resourceType: 'Observation', id: obs[1] }), e => e.response.status === 410)
await assert.rejects(kit.search({ resourceType: 'Patient', searchParams: { famly: 'x' } }), e => e.response.status === 400 && e.response.data.resourceType === 'OperationOutcome')
say('fhir-kit-client: batch, transaction, pages, delete, outcomes')

const med = new MedplumClient({ baseUrl: demo.url + '/demo/', fhirUrlPath: 'fhir/', accessToken: token, fetch, cacheTime: 0 })
const one = await med.readResource('Patient', made.id)
assert.equal(one.birthDate, '1981-01-02')
const list = await med.searchResources('Patient', { family })
assert.equal(list.length >= 1, true)
const more = await med.createResource({ resourceType: 'Patient', name: [{ family: family + 'M' }] })
assert.equal((await med.updateResource({ ...more, active: true })).active, true)
assert.equal((await med.searchOne('Patient', 'family=' + family + 'M')).id, more.id)
await med.deleteResource('Patient', more.id)
await assert.rejects(med.readResource('Patient', more.id))
say('@medplum/core: read, search, create, update, delete')
