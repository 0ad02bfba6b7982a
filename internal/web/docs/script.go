package docs

import "strings"

// quickStart is a token from the command line, then a request.
const quickStart = `TOKEN=$(yarrow token --practice {practice} --scope 'system/*.rs' --ttl 15m)
curl -s -H "Authorization: Bearer $TOKEN" '{origin}/{practice}/fhir/Patient?_count=3&_elements=name,birthDate'
`

func (p *Pages) script(practice string) string {
	origin := p.origin
	if origin == "" {
		origin = "http://localhost:8080"
	}
	return strings.NewReplacer("{practice}", practice, "{origin}", origin).Replace(quickStart)
}
