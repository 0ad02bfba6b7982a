package docs

import "strings"

// quickStart is a token from the command line, then a request. docs/api.md shows it as it is for the demonstration.
const quickStart = `TOKEN=$(yarrow token --data {data} --practice {practice} --scope 'system/*.rs' --ttl 15m)
curl -s -H "Authorization: Bearer $TOKEN" '{origin}/{practice}/fhir/Patient?_count=3&_elements=name,birthDate'
`

func (p *Pages) script(practice string, demo bool) string {
	origin, data := p.origin, "./yarrow-data"
	if demo {
		data += "/demo"
	}
	if origin == "" {
		origin = "http://localhost:8080"
	}
	return strings.NewReplacer("{practice}", practice, "{origin}", origin, "{data}", data).Replace(quickStart)
}
