// Where the server is, and how a program or a person gets in.
import { readFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { importJWK, SignJWT } from 'jose'

export const demo = JSON.parse(readFileSync(process.env.YARROW_DEMO_FILE, 'utf8'))
export const base = demo.url + '/demo/fhir'
export const say = words => console.log('ok ' + words)
export const backend = demo.clients.find(c => c.clientId === 'demo-backend')
export const app = demo.clients.find(c => c.clientId === 'demo-app')

export async function backendToken(scope) {
  const at = demo.url + '/demo/oauth/token'
  const jwt = await new SignJWT({}).setProtectedHeader({ alg: 'ES384', kid: backend.privateKey.kid, typ: 'JWT' }).setIssuer(backend.clientId)
    .setSubject(backend.clientId).setAudience(at).setIssuedAt().setExpirationTime('4m').setJti(randomUUID()).sign(await importJWK(backend.privateKey, 'ES384'))
  const r = await fetch(at, { method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', scope,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: jwt }) })
  const t = await r.json()
  if (!t.access_token) throw new Error('no token: ' + JSON.stringify(t))
  return t.access_token
}

// A person at a browser without scripts: cookies, redirects, forms.
const jar = new Map()
async function go(method, url, form) {
  for (let i = 0; i < 12; i++) {
    const r = await fetch(url, { method, redirect: 'manual', body: form && new URLSearchParams(form),
      headers: { Cookie: [...jar].map(([k, v]) => k + '=' + v).join('; '), 'Sec-Fetch-Site': 'same-origin' } })
    for (const c of r.headers.getSetCookie()) { const [k, v] = c.split(';')[0].split(/=(.*)/s); v === '' ? jar.delete(k) : jar.set(k, v) }
    const to = r.headers.get('Location') ?? r.headers.get('Refresh')?.split('url=')[1]
    const body = await r.text()
    if (!to) return { url, body }
    url = new URL(to, url).href
    method = 'GET'; form = undefined
    if (!url.startsWith(demo.url + '/')) return { away: url }
  }
  throw new Error('too many redirects')
}
const plain = s => s.replace(/&amp;/g, '&').replace(/&#34;|&quot;/g, '"').replace(/&#43;/g, '+').replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&#39;/g, "'")
const fields = (body, name) => [...body.matchAll(/<(?:input|button)\b[^>]*>/g)].map(m => m[0]).filter(t => t.includes(`name="${name}"`))
  .map(t => plain(t.match(/value="([^"]*)"/)?.[1] ?? ''))
export async function consent(url, patient) {
  let page = await go('GET', demo.url + '/demo/sign-in')
  if (page.body.includes('name="person"')) {
    const who = page.body.match(/name="person" value="(\d+)"[\s\S]*?<\/button>/g).find(b => b.includes('Osei')).match(/value="(\d+)"/)[1]
    page = await go('POST', demo.url + '/demo/sign-in/demo', { person: who })
  }
  page = await go('GET', url)
  for (let i = 0; i < 4 && !page.away; i++) {
    const hidden = [...page.body.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)].map(m => [m[1], plain(m[2])])
    if (fields(page.body, 'do').includes('allow')) page = await go('POST', page.url, [...hidden, ...fields(page.body, 'scope').map(v => ['scope', v]), ['do', 'allow']])
    else page = await go('POST', page.url, [...hidden.filter(h => h[0] !== 'patient'), ['patient', patient]])
  }
  if (!page.away) throw new Error('the browser did not come back: ' + page.url)
  return new URL(page.away)
}
