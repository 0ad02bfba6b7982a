package scim

import "net/http"

// config is what the server can do (RFC 7643 §5).
func (c *call) config() map[string]any {
	no := map[string]any{"supported": false}
	return map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"}, "patch": map[string]any{"supported": true},
		"bulk":   map[string]any{"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
		"filter": map[string]any{"supported": true, "maxResults": maxPage}, "changePassword": no, "sort": no, "etag": no,
		"authenticationSchemes": []map[string]any{{"type": "oauthbearertoken", "name": "Key of the directory", "description": "A key that an administrator of the practice made, as bearer token", "primary": true}}}
}

func (c *call) resourceTypes() []map[string]any {
	of := func(id, endpoint, schema string) map[string]any {
		return map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ResourceType"}, "id": id, "name": id, "endpoint": endpoint, "schema": schema,
			"meta": map[string]string{"resourceType": "ResourceType", "location": c.at("ResourceTypes", id)}}
	}
	return []map[string]any{of("User", "/Users", schemaUser), of("Group", "/Groups", schemaGroup)}
}

// schemas describe what is kept of users and groups (RFC 7643 §7).
func schemas() []map[string]any {
	attribute := func(name, kind, mutability, uniqueness string, required, several bool, sub ...map[string]any) map[string]any {
		out := map[string]any{"name": name, "type": kind, "multiValued": several, "required": required, "caseExact": name == "externalId", "mutability": mutability, "returned": "default", "uniqueness": uniqueness}
		if len(sub) > 0 {
			out["subAttributes"] = sub
		}
		return out
	}
	of := func(id, name string, attributes ...map[string]any) map[string]any {
		return map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Schema"}, "id": id, "name": name, "attributes": attributes}
	}
	return []map[string]any{
		of(schemaUser, "User",
			attribute("userName", "string", "readWrite", "server", true, false),
			attribute("displayName", "string", "readWrite", "none", false, false),
			attribute("name", "complex", "readWrite", "none", false, false, attribute("formatted", "string", "readWrite", "none", false, false)),
			attribute("active", "boolean", "readWrite", "none", false, false),
			attribute("externalId", "string", "readWrite", "none", false, false),
			attribute("groups", "complex", "readOnly", "none", false, true, attribute("value", "string", "readOnly", "none", false, false))),
		of(schemaGroup, "Group",
			attribute("displayName", "string", "readOnly", "server", true, false),
			attribute("members", "complex", "readWrite", "none", false, true, attribute("value", "string", "immutable", "none", false, false))),
	}
}

// described answers with a list of descriptions, or one of them.
func (c *call) described(list []map[string]any) (status int, body any, location string, err error) {
	if c.id == "" {
		return c.page(list)
	}
	for _, d := range list {
		if d["id"] == c.id {
			return http.StatusOK, d, "", nil
		}
	}
	return 0, nil, "", fail(http.StatusNotFound, "", "There is nothing at this address.")
}
