package docs

import (
	"bytes"
	"encoding/json"
	"sync"
	"time"

	"yarrow.health/internal/simulate"
)

// examples are resources of an invented practice, one of each type it has, as JSON for people. They are the same on every server and
// come from nobody's record. They are made when the first page asks.
var examples = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	take := func(b simulate.Bundle) {
		var bundle struct {
			Entry []struct {
				Resource json.RawMessage `json:"resource"`
			} `json:"entry"`
		}
		if json.Unmarshal(b.JSON, &bundle) != nil {
			return
		}
		for _, e := range bundle.Entry {
			var r struct {
				ResourceType string `json:"resourceType"`
			}
			if json.Unmarshal(e.Resource, &r) != nil || out[r.ResourceType] != "" {
				continue
			}
			var pretty bytes.Buffer
			if json.Indent(&pretty, e.Resource, "", "  ") == nil {
				out[r.ResourceType] = pretty.String()
			}
		}
	}
	n := 0
	for b := range simulate.Plan(1, time.Date(2026, 3, 4, 15, 0, 0, 0, time.UTC), 24).First() {
		take(b)
		if n++; n == 12 { // a few charts hold every type there is
			break
		}
	}
	return out
})
