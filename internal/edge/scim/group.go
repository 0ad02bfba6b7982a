package scim

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhirjson"
)

const schemaGroup = "urn:ietf:params:scim:schemas:core:2.0:Group"

// roleName is what a group is called: a role that every practice has by its code, one of the practice's own as people call it there.
func (c *call) roleName(r auth.Role) (string, error) {
	name, err := c.auth.RoleName(c.r.Context(), c.p.ID, r)
	if name == "" {
		name = string(r)
	}
	return name, err
}

func (c *call) groupJSON(r auth.Role, name string, people []auth.Provisioned) map[string]any {
	out := map[string]any{"schemas": []string{schemaGroup}, "id": string(r), "displayName": name,
		"meta": map[string]string{"resourceType": "Group", "location": c.at("Groups", string(r))}}
	if !strings.EqualFold(c.r.URL.Query().Get("excludedAttributes"), "members") {
		members := []map[string]string{}
		for _, u := range people {
			if slices.Contains(u.Roles, r) {
				members = append(members, map[string]string{"value": userID(u.ID), "display": u.Display, "$ref": c.at("Users", userID(u.ID))})
			}
		}
		out["members"] = members
	}
	return out
}

// groups are the roles of the practice: they are there, and have members.
func (c *call) groups() (status int, body any, location string, err error) {
	people, err := c.auth.Provisioned(c.r.Context(), c.scope)
	if err != nil {
		return 0, nil, "", err
	}
	roles, err := c.auth.RolesIn(c.r.Context(), c.p.ID)
	if err != nil {
		return 0, nil, "", err
	}
	role := auth.Role(c.id)
	switch {
	case c.id == "" && c.r.Method == http.MethodGet:
		return c.listGroups(roles, people)
	case c.id == "" || c.r.Method == http.MethodDelete:
		return 0, nil, "", fail(http.StatusForbidden, "mutability", "Groups are the practice's roles; a directory neither adds nor deletes them.")
	case !slices.Contains(roles, role):
		return 0, nil, "", fail(http.StatusNotFound, "", "There is no such group.")
	}
	name, err := c.roleName(role)
	if err != nil {
		return 0, nil, "", err
	}
	switch c.r.Method {
	case http.MethodGet:
		if err := c.see(audit.ActionSearch, ""); err != nil {
			return 0, nil, "", err
		}
		return http.StatusOK, c.groupJSON(role, name, people), "", nil
	case http.MethodPut, http.MethodPatch:
	default:
		return 0, nil, "", fail(http.StatusMethodNotAllowed, "", "A group is read, replaced or patched.")
	}
	was := map[string]bool{}
	for _, u := range people {
		if slices.Contains(u.Roles, role) {
			was[userID(u.ID)] = true
		}
	}
	is, err := c.members(name, was)
	if err != nil {
		return 0, nil, "", err
	}
	for id := range is {
		if !slices.ContainsFunc(people, func(u auth.Provisioned) bool { return userID(u.ID) == id }) {
			return 0, nil, "", fail(http.StatusBadRequest, "invalidValue", "There is no user "+id+".")
		}
	}
	for _, u := range people {
		id := userID(u.ID)
		if was[id] == is[id] {
			continue
		}
		roles := slices.DeleteFunc(slices.Clone(u.Roles), func(r auth.Role) bool { return r == role })
		if is[id] {
			roles = append(roles, role)
		}
		if err := c.auth.ProvisionRoles(c.r.Context(), c.scope, u.ID, roles...); err != nil {
			return 0, nil, "", err
		}
	}
	if people, err = c.auth.Provisioned(c.r.Context(), c.scope); err != nil {
		return 0, nil, "", err
	}
	return http.StatusOK, c.groupJSON(role, name, people), "", nil
}

func (c *call) listGroups(roles []auth.Role, people []auth.Provisioned) (status int, body any, location string, err error) {
	by, value, err := c.filter()
	if err != nil {
		return 0, nil, "", err
	}
	var list []map[string]any
	for _, r := range roles {
		name, err := c.roleName(r)
		if err != nil {
			return 0, nil, "", err
		}
		switch by {
		case "":
		case "displayname", "id":
			if is := map[string]string{"displayname": name, "id": string(r)}[by]; !strings.EqualFold(is, value) {
				continue
			}
		default:
			return 0, nil, "", fail(http.StatusBadRequest, "invalidFilter", "Groups are found by displayName or id.")
		}
		list = append(list, c.groupJSON(r, name, people))
	}
	if err := c.see(audit.ActionSearch, ""); err != nil {
		return 0, nil, "", err
	}
	return c.page(list)
}

var oneMember = regexp.MustCompile(`^members\[\s*value\s+eq\s+"([0-9]{1,19})"\s*\]$`)

// members gives who is in the group after the request.
func (c *call) members(name string, was map[string]bool) (map[string]bool, error) {
	if c.r.Method == http.MethodPut {
		for _, m := range c.body.Members() {
			switch strings.ToLower(m.Name) {
			case "schemas", "id", "meta", "members", "externalid":
			case "displayname":
				if !strings.EqualFold(m.Value.Text(), name) {
					return nil, fail(http.StatusBadRequest, "mutability", "A role keeps its name.")
				}
			default:
				return nil, fail(http.StatusBadRequest, "invalidPath", "There is no attribute "+m.Name+".")
			}
		}
		is := map[string]bool{}
		return is, put(is, c.body.Get("members"), true)
	}
	is := map[string]bool{}
	for id := range was {
		is[id] = true
	}
	ops := operations(c.body)
	if len(ops) == 0 || len(ops) > 1000 {
		return nil, fail(http.StatusBadRequest, "invalidSyntax", "A PATCH has 1 to 1000 Operations.")
	}
	for _, op := range ops {
		verb, path, value := parts(&op)
		if path == "" && value != nil && value.Kind() == fhirjson.Object {
			path, value = "members", value.Get("members")
		}
		one := oneMember.FindStringSubmatch(path)
		switch {
		case verb == "add" && strings.EqualFold(path, "members"):
			if err := put(is, value, true); err != nil {
				return nil, err
			}
		case verb == "replace" && strings.EqualFold(path, "members"):
			clear(is)
			if err := put(is, value, true); err != nil {
				return nil, err
			}
		case verb == "remove" && one != nil:
			delete(is, one[1])
		case verb == "remove" && strings.EqualFold(path, "members") && value == nil:
			clear(is)
		case verb == "remove" && strings.EqualFold(path, "members"):
			if err := put(is, value, false); err != nil {
				return nil, err
			}
		default:
			return nil, fail(http.StatusBadRequest, "invalidPath", "Only members of a group are changed.")
		}
	}
	return is, nil
}

// put adds members to a set, or takes them out of it.
func put(into map[string]bool, list *fhirjson.Node, in bool) error {
	if list == nil {
		return nil
	}
	if list.Kind() != fhirjson.Array {
		return fail(http.StatusBadRequest, "invalidValue", "members is a list.")
	}
	for _, m := range list.Items() {
		v := m.Get("value")
		if m.Kind() != fhirjson.Object || v == nil || v.Kind() != fhirjson.String {
			return fail(http.StatusBadRequest, "invalidValue", "A member has a value, the id of a user.")
		}
		if in {
			into[v.Text()] = true
		} else {
			delete(into, v.Text())
		}
	}
	return nil
}
