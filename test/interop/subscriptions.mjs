// Subscriptions with nothing of ours on the other side: fhir-kit-client asks for them and reads $status and $events, standardwebhooks
// verifies what comes to a hook, ws and eventsource listen to streams, fhir (by Lantana) validates every notification against the
// definitions of R4, and fhirpath (by LHC) finds in it what the guide says is there.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { randomBytes } from 'node:crypto'
import { Client } from 'fhir-kit-client'
import { Webhook, WebhookVerificationError } from 'standardwebhooks'
import { WebSocket } from 'ws'
import { EventSource } from 'eventsource'
import { Fhir } from 'fhir'
import fhirpath from 'fhirpath'
import r4 from 'fhirpath/fhir-context/r4/index.js'

const base = process.env.YARROW_BASE, token = process.env.YARROW_TOKEN, port = Number(process.env.HOOK_PORT)
const guide = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/'
const say = words => console.log('ok ' + words)
const kit = new Client({ baseUrl: base, bearerToken: token })
const validator = new Fhir()

// What the guide says of a notification, found by an engine of others.
const one = (resource, path) => { const v = fhirpath.evaluate(resource, path, null, r4); assert.ok(v.length <= 1, path); return v[0] }
function notification(bundle) {
  const verdict = validator.validate(bundle)
  assert.deepEqual(verdict.messages.filter(m => m.severity === 'error' || m.severity === 'fatal'), [])
  const status = "Bundle.entry.first().resource.ofType(Parameters)"
  const of = name => one(bundle, `${status}.parameter.where(name='${name}').value`)
  const events = fhirpath.evaluate(bundle, `${status}.parameter.where(name='notification-event')`, null, r4).map(e => {
    const part = (name, member) => e.part.find(p => p.name === name)?.[member]
    return { number: Number(part('event-number', 'valueString')), focus: part('focus', 'valueReference')?.reference, at: part('timestamp', 'valueInstant') }
  })
  return { type: of('type'), status: of('status'), topic: of('topic'), subscription: one(bundle, `${status}.parameter.where(name='subscription').value.reference`),
    count: Number(of('events-since-subscription-start')), events, bundle }
}

// waitFor gives the first of a growing list that is meant.
async function waitFor(list, what, meant) {
  for (let i = 0; i < 600; i++) {
    const found = list.find(meant)
    if (found) return found
    await new Promise(r => setTimeout(r, 50))
  }
  throw new Error(`${what} did not come; ${list.length} did: ${JSON.stringify(list.map(n => [n.type, n.events, n.error]))}`)
}

const subscription = channel => ({ resourceType: 'Subscription', status: 'requested', reason: 'interop', criteria: 'https://yarrow.health/fhir/SubscriptionTopic/resource-changed',
  _criteria: { extension: [{ url: guide + 'backport-filter-criteria', valueString: 'Observation?status=final' }] },
  channel: { payload: 'application/fhir+json', _payload: { extension: [{ url: guide + 'backport-payload-content', valueCode: 'id-only' }] }, ...channel } })
const patient = await kit.create({ resourceType: 'Patient', body: { resourceType: 'Patient', name: [{ family: 'Interop' }] } })
const observe = async value => 'Observation/' + (await kit.create({ resourceType: 'Observation', body: { resourceType: 'Observation', status: 'final', code: { text: 'Sodium' },
  subject: { reference: 'Patient/' + patient.id }, valueString: value } })).id
const names = (event, focus) => event.focus?.endsWith('/' + focus)

// A hook whose receiver believes only what is signed.
const secret = 'whsec_' + randomBytes(32).toString('base64')
const hook = new Webhook(secret), told = []
let answer = 200
const receiver = createServer((req, res) => {
  const chunks = []
  req.on('data', c => chunks.push(c)).on('end', () => {
    const body = Buffer.concat(chunks).toString('utf8')
    let n
    try {
      assert.equal(req.headers['content-type'], 'application/fhir+json')
      assert.equal(req.headers.authorization, 'Bearer of-the-receiver')
      n = notification(hook.verify(body, req.headers))
      n.raw = { body, headers: { ...req.headers } }
    } catch (error) { n = { error: String(error.stack ?? error), events: [] } }
    n.answered = answer
    told.push(n)
    res.writeHead(answer).end()
  })
}).listen(port, '127.0.0.1')

const first = await kit.create({ resourceType: 'Subscription', body: subscription({ type: 'rest-hook', endpoint: `http://127.0.0.1:${port}/hook`,
  header: ['Authorization: Bearer of-the-receiver', 'Webhook-Secret: ' + secret] }) })
assert.equal(first.status, 'requested')
const shaken = await waitFor(told, 'the handshake', n => n.type === 'handshake' || n.error)
assert.equal(shaken.error, undefined)
assert.ok(shaken.subscription.endsWith('Subscription/' + first.id))
const sodium = await observe('140')
const heard = await waitFor(told, 'the event', n => n.type === 'event-notification' || n.error)
assert.equal(heard.error, undefined)
assert.equal(heard.events.length, 1)
assert.equal(heard.events[0].number, 1)
assert.ok(names(heard.events[0], sodium) && Date.parse(heard.events[0].at) <= Date.now())
assert.equal(heard.raw.body.includes('Sodium'), false) // ids only were asked for
assert.equal((await kit.read({ resourceType: 'Observation', id: heard.events[0].focus.split('/').at(-1) })).valueString, '140')
assert.equal((await kit.read({ resourceType: 'Subscription', id: first.id })).status, 'active')
say('standardwebhooks verifies a handshake and an event; fhir and fhirpath read them')

// What was altered, signed with another secret or sent again much later is not believed.
const { body, headers } = heard.raw
const refused = (hook, body, headers) => assert.throws(() => hook.verify(body, headers), WebhookVerificationError)
refused(hook, body.replace('"1"', '"2"'), headers)
refused(new Webhook('whsec_' + randomBytes(32).toString('base64')), body, headers)
refused(hook, body, { ...headers, 'webhook-id': 'another' })
refused(hook, body, { ...headers, 'webhook-timestamp': String(Number(headers['webhook-timestamp']) - 600) })
// A receiver that is away for a moment gets the same event again, under an id of its own.
answer = 503
const again = await observe('141')
const failed = await waitFor(told, 'the event that fails', n => n.answered === 503)
answer = 200
const later = await waitFor(told, 'the event, sent again', n => n.answered === 200 && n.events.some(e => names(e, again)))
assert.deepEqual(later.events.map(e => e.number), [2])
assert.notEqual(later.raw.headers['webhook-id'], failed.raw.headers['webhook-id'])
assert.equal(told.some(n => n.error), false)
say('standardwebhooks refuses what was altered; what fails is sent again')

const state = notification(await kit.operation({ name: 'status', resourceType: 'Subscription', id: first.id, method: 'GET' }))
assert.deepEqual([state.type, state.status, state.count], ['query-status', 'active', 2])
const missed = notification(await kit.operation({ name: 'events', resourceType: 'Subscription', id: first.id, method: 'GET', input: { eventsSinceNumber: '2', content: 'full-resource' } }))
assert.equal(missed.type, 'query-event')
assert.deepEqual(missed.events.map(e => e.number), [2])
assert.equal(one(missed.bundle, 'Bundle.entry.resource.ofType(Observation).value'), '141')
await kit.delete({ resourceType: 'Subscription', id: first.id })
receiver.close()
say('fhir-kit-client reads $status and $events')

// A WebSocket, bound with the token of the operation.
const second = await kit.create({ resourceType: 'Subscription', body: subscription({ type: 'websocket' }) })
const binding = await kit.operation({ name: 'get-ws-binding-token', resourceType: 'Subscription', id: second.id, method: 'POST', input: { resourceType: 'Parameters' } })
const given = name => fhirpath.evaluate(binding, `Parameters.parameter.where(name='${name}').value`, null, r4)[0]
const listened = []
const socket = new WebSocket(given('websocket-url'))
socket.on('message', m => { try { listened.push(notification(JSON.parse(m.toString()))) } catch (error) { listened.push({ error: String(error.stack), events: [] }) } })
await new Promise((ok, no) => socket.on('open', ok).on('error', no))
socket.send('bind-with-token ' + given('token'))
assert.equal((await waitFor(listened, 'the handshake', n => n.type === 'handshake' || n.error)).error, undefined)
const third = await observe('142')
assert.equal((await waitFor(listened, 'the event', n => n.error || n.events.some(e => names(e, third)))).error, undefined)
socket.close()
say('ws listens to a WebSocket')

// Server-sent events; when the network breaks, the client comes back by itself with the number it has and misses nothing.
const streamed = []
const source = new EventSource(base.replace('/fhir', '') + '/subscriptions/' + second.id + '/events',
  { fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, Authorization: 'Bearer ' + token } }) })
let opened = 0
source.addEventListener('open', () => opened++)
source.addEventListener('notification', e => { try { streamed.push({ ...notification(JSON.parse(e.data)), id: e.lastEventId }) } catch (error) { streamed.push({ error: String(error.stack), events: [] }) } })
assert.equal((await waitFor(streamed, 'the handshake', n => n.type === 'handshake' || n.error)).error, undefined)
const fourth = await observe('143')
const live = await waitFor(streamed, 'the event', n => n.error || n.events.some(e => names(e, fourth)))
assert.equal(live.error, undefined)
assert.equal(live.id, String(live.events.at(-1).number))
await fetch(new URL('/break', base), { method: 'POST' }).catch(() => {})
const while_away = await observe('144').catch(() => observe('144'))
const back = await waitFor(streamed, 'the event while it was away', n => n.error || n.events.some(e => names(e, while_away)))
assert.equal(back.error, undefined)
assert.ok(opened >= 2, 'it did not come back')
const numbers = streamed.flatMap(n => n.events.map(e => e.number))
assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b), 'no number twice, none out of order')
source.close()
say('eventsource listens to server-sent events and comes back after a break')
