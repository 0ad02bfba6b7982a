package fhirapi

import "context"

// capabilities answers GET [base]/metadata.
func (a *API) capabilities(ctx context.Context, c *Call) (*Answer, error) {
	b := []byte(`{"resourceType":"CapabilityStatement","status":"active","date":"` + c.Now().Format("2006-01-02") + `","kind":"instance","fhirVersion":"4.0.1","format":["application/fhir+json","json"],"rest":[{"mode":"server"`)
	if a.o.Security != nil {
		if s := a.o.Security(c.Practice, c.Base); len(s) > 0 {
			b = append(append(b, `,"security":`...), s...)
		}
	}
	return &Answer{Resource: append(b, `}]}`...)}, nil
}
