// Two oracles: fhirpath.js evaluates expressions, ucum-lhc converts. Questions come on standard input, answers go out.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
const require = createRequire(import.meta.url)
const fhirpath = require('fhirpath'), r4 = require('fhirpath/fhir-context/r4')
const ucum = require('@lhncbc/ucum-lhc').UcumLhcUtils.getInstance()
const { expressions, conversions, resource } = JSON.parse(readFileSync(0, 'utf8'))
console.log(JSON.stringify({
  expressions: expressions.map(e => { try { return fhirpath.evaluate(resource, e, {}, r4).map(v => typeof v === 'object' && v !== null && v.asStr ? v.asStr : v) } catch (x) { return 'error: ' + x.message } }),
  conversions: conversions.map(([v, from, to]) => { const r = ucum.convertUnitTo(from, v, to); return r.status === 'succeeded' ? r.toVal : null }) }))
