package scim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/standards/fhirjson"
)

const schemaUser = "urn:ietf:params:scim:schemas:core:2.0:User"

func itoa(n int) string { return strconv.Itoa(n) }

func userID(id int64) string { return strconv.FormatInt(id, 10) }

// person is what a directory says of somebody, as far as it is kept.
type person struct {
	login, display, external string
	active                   bool
}

// ignored are attributes of the core and enterprise schemas that directories send along and that are not kept.
var ignored = []string{"schemas", "id", "meta", "groups", "roles", "nickname", "profileurl", "title", "usertype", "preferredlanguage", "locale", "timezone", "phonenumbers", "ims", "photos",
	"addresses", "entitlements", "x509certificates", "emails", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user"}

// setAttribute takes one attribute. Names of SCIM have no case (RFC 7643 §2.1).
func (p *person) setAttribute(name string, v *fhirjson.Node) error {
	bad := func() error { return fail(http.StatusBadRequest, "invalidValue", name+" has a value of another kind.") }
	word := func(into *string) error {
		if v.Kind() != fhirjson.String {
			return bad()
		}
		*into = v.Text()
		return nil
	}
	switch n := strings.ToLower(strings.TrimPrefix(name, schemaUser+":")); n {
	case "username":
		return word(&p.login)
	case "displayname", "name.formatted":
		return word(&p.display)
	case "externalid":
		if v.Kind() == fhirjson.Null {
			p.external = ""
			return nil
		}
		return word(&p.external)
	case "active":
		switch {
		case v.Kind() == fhirjson.Bool:
			p.active = v.String() == "true"
		case v.Kind() == fhirjson.String && (strings.EqualFold(v.Text(), "true") || strings.EqualFold(v.Text(), "false")): // as Entra writes it
			p.active = strings.EqualFold(v.Text(), "true")
		default:
			return bad()
		}
		return nil
	case "name":
		if v.Kind() != fhirjson.Object {
			return bad()
		}
		return p.setName(v)
	case "password":
		return fail(http.StatusBadRequest, "mutability", "Nobody chooses a password for somebody else: leave password out.")
	default:
		top, _, _ := strings.Cut(n, ".")
		top, _, _ = strings.Cut(top, "[")
		if slices.Contains(ignored, top) || top == "name" || strings.HasPrefix(n, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user") {
			return nil
		}
		return fail(http.StatusBadRequest, "invalidPath", "There is no attribute "+name+".")
	}
}

// setName makes a display name of a structured one, unless the directory gave one.
func (p *person) setName(v *fhirjson.Node) error {
	var given, family, whole string
	for _, m := range v.Members() {
		if m.Value.Kind() != fhirjson.String {
			return fail(http.StatusBadRequest, "invalidValue", "name."+m.Name+" has a value of another kind.")
		}
		switch strings.ToLower(m.Name) {
		case "formatted":
			whole = m.Value.Text()
		case "givenname":
			given = m.Value.Text()
		case "familyname":
			family = m.Value.Text()
		}
	}
	if whole == "" {
		whole = strings.TrimSpace(given + " " + family)
	}
	if p.display == "" {
		p.display = whole
	}
	return nil
}

// whole reads a user as it is created or replaced.
func whole(n *fhirjson.Node, p person) (person, error) {
	if !slices.Contains(stringsOf(n.Get("schemas")), schemaUser) {
		return p, fail(http.StatusBadRequest, "invalidSyntax", "schemas must name "+schemaUser+".")
	}
	seen := map[string]bool{}
	for _, m := range n.Members() {
		if low := strings.ToLower(m.Name); seen[low] {
			return p, fail(http.StatusBadRequest, "invalidSyntax", m.Name+" is given twice.")
		} else {
			seen[low] = true
		}
		if err := p.setAttribute(m.Name, &m.Value); err != nil {
			return p, err
		}
	}
	if p.display == "" {
		p.display = p.login
	}
	if len(p.external) > 200 {
		return p, fail(http.StatusBadRequest, "invalidValue", "externalId has at most 200 bytes.")
	}
	return p, nil
}

func stringsOf(n *fhirjson.Node) (out []string) {
	if n == nil || n.Kind() != fhirjson.Array {
		return nil
	}
	for _, i := range n.Items() {
		if i.Kind() == fhirjson.String {
			out = append(out, i.Text())
		}
	}
	return out
}

// patched applies the operations of a PATCH (RFC 7644 §3.5.2).
func patched(n *fhirjson.Node, p person) (person, error) {
	ops := operations(n)
	if len(ops) == 0 || len(ops) > 100 {
		return p, fail(http.StatusBadRequest, "invalidSyntax", "A PATCH has 1 to 100 Operations.")
	}
	for _, op := range ops {
		verb, path, value := parts(&op)
		switch {
		case verb == "remove" && strings.EqualFold(path, "externalId"):
			p.external = ""
		case verb == "remove" && path != "":
			null := fhirjson.NewNull()
			if err := p.setAttribute(path, &null); err != nil {
				return p, err
			}
		case (verb == "add" || verb == "replace") && value != nil && path != "":
			if err := p.setAttribute(path, value); err != nil {
				return p, err
			}
		case (verb == "add" || verb == "replace") && value != nil && value.Kind() == fhirjson.Object:
			for _, m := range value.Members() {
				if err := p.setAttribute(m.Name, &m.Value); err != nil {
					return p, err
				}
			}
		default:
			return p, fail(http.StatusBadRequest, "invalidSyntax", "An operation is add, replace or remove, with a path or an object as value.")
		}
	}
	return p, nil
}

// operations and parts read a PATCH; names have no case.
func operations(n *fhirjson.Node) []fhirjson.Node {
	for _, m := range n.Members() {
		if strings.EqualFold(m.Name, "Operations") && m.Value.Kind() == fhirjson.Array {
			return m.Value.Items()
		}
	}
	return nil
}

func parts(op *fhirjson.Node) (verb, path string, value *fhirjson.Node) {
	for i, m := range op.Members() {
		switch strings.ToLower(m.Name) {
		case "op":
			verb = strings.ToLower(m.Value.Text())
		case "path":
			path = m.Value.Text()
		case "value":
			value = &op.Members()[i].Value
		}
	}
	return verb, path, value
}

func (c *call) userJSON(u auth.Provisioned) map[string]any {
	groups := []map[string]string{}
	for _, r := range u.Roles {
		groups = append(groups, map[string]string{"value": string(r), "display": string(r), "$ref": c.at("Groups", string(r))})
	}
	out := map[string]any{"schemas": []string{schemaUser}, "id": userID(u.ID), "userName": u.Login, "displayName": u.Display, "name": map[string]string{"formatted": u.Display},
		"active": u.Active, "groups": groups,
		"meta": map[string]string{"resourceType": "User", "created": u.Created.Format(time.RFC3339), "lastModified": u.Changed.Format(time.RFC3339), "location": c.at("Users", userID(u.ID))}}
	if u.External != "" {
		out["externalId"] = u.External
	}
	return out
}

func (c *call) user(id string) (auth.Provisioned, error) {
	all, err := c.auth.Provisioned(c.r.Context(), c.scope)
	if err != nil {
		return auth.Provisioned{}, err
	}
	if i := slices.IndexFunc(all, func(u auth.Provisioned) bool { return userID(u.ID) == id }); i >= 0 {
		return all[i], nil
	}
	return auth.Provisioned{}, fail(http.StatusNotFound, "", "There is no such user.")
}

func (c *call) users() (status int, body any, location string, err error) {
	ctx := c.r.Context()
	if c.id == "" {
		switch c.r.Method {
		case http.MethodGet:
			return c.listUsers()
		case http.MethodPost:
			p, err := whole(c.body, person{active: true})
			if err != nil {
				return 0, nil, "", err
			}
			id, err := c.auth.Provision(ctx, c.scope, auth.User{Login: p.login, Display: p.display}, p.external)
			if err == nil && !p.active {
				err = c.auth.Reprovision(ctx, c.scope, id, p.login, p.display, p.external, false)
			}
			if err != nil {
				return 0, nil, "", err
			}
			u, err := c.user(userID(id))
			return http.StatusCreated, c.userJSON(u), c.at("Users", userID(id)), err
		}
		return 0, nil, "", fail(http.StatusMethodNotAllowed, "", "Users are listed and created here.")
	}
	u, err := c.user(c.id)
	if err != nil {
		return 0, nil, "", err
	}
	now := person{u.Login, u.Display, u.External, u.Active}
	switch c.r.Method {
	case http.MethodGet:
		if err := c.see(audit.ActionRead, userID(u.ID)); err != nil {
			return 0, nil, "", err
		}
		return http.StatusOK, c.userJSON(u), "", nil
	case http.MethodPut:
		now, err = whole(c.body, person{active: u.Active})
	case http.MethodPatch:
		now, err = patched(c.body, now)
	case http.MethodDelete:
		return http.StatusNoContent, nil, "", c.auth.Unprovision(ctx, c.scope, u.ID)
	default:
		return 0, nil, "", fail(http.StatusMethodNotAllowed, "", "A user is read, replaced, patched or deleted.")
	}
	if err == nil {
		err = c.auth.Reprovision(ctx, c.scope, u.ID, now.login, now.display, now.external, now.active)
	}
	if err != nil {
		return 0, nil, "", err
	}
	u, err = c.user(c.id)
	return http.StatusOK, c.userJSON(u), "", err
}

func (c *call) listUsers() (status int, body any, location string, err error) {
	all, err := c.auth.Provisioned(c.r.Context(), c.scope)
	if err != nil {
		return 0, nil, "", err
	}
	name, value, err := c.filter()
	if err != nil {
		return 0, nil, "", err
	}
	switch name {
	case "":
	case "username":
		all = slices.DeleteFunc(all, func(u auth.Provisioned) bool { return !strings.EqualFold(u.Login, value) })
	case "externalid":
		all = slices.DeleteFunc(all, func(u auth.Provisioned) bool { return u.External != value || value == "" })
	case "id":
		all = slices.DeleteFunc(all, func(u auth.Provisioned) bool { return userID(u.ID) != value })
	default:
		return 0, nil, "", fail(http.StatusBadRequest, "invalidFilter", "Users are found by userName, externalId or id.")
	}
	if err := c.see(audit.ActionSearch, ""); err != nil {
		return 0, nil, "", err
	}
	list := make([]map[string]any, len(all))
	for i, u := range all {
		list[i] = c.userJSON(u)
	}
	return c.page(list)
}

// filter reads the one form of filter there is: name eq "value".
func (c *call) filter() (name, value string, err error) {
	text := strings.TrimSpace(c.r.URL.Query().Get("filter"))
	if text == "" {
		return "", "", nil
	}
	bad := fail(http.StatusBadRequest, "invalidFilter", `A filter is: attribute eq "value".`)
	name, rest, _ := strings.Cut(text, " ")
	verb, quoted, ok := strings.Cut(strings.TrimSpace(rest), " ")
	if !ok || !strings.EqualFold(verb, "eq") {
		return "", "", bad
	}
	n, perr := fhirjson.Parse([]byte(strings.TrimSpace(quoted)), fhirjson.Limits{Bytes: 4096, Depth: 2})
	if perr != nil || n.Kind() != fhirjson.String {
		return "", "", bad
	}
	return strings.ToLower(strings.TrimPrefix(name, schemaUser+":")), n.Text(), nil
}

// page cuts a list (RFC 7644 §3.4.2.4): startIndex counts from 1.
func (c *call) page(list []map[string]any) (status int, body any, location string, err error) {
	number := func(name string, otherwise int) (int, error) {
		text := c.r.URL.Query().Get(name)
		if text == "" {
			return otherwise, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, fail(http.StatusBadRequest, "invalidValue", name+" is a number.")
		}
		return n, nil
	}
	start, err := number("startIndex", 1)
	if err != nil {
		return 0, nil, "", err
	}
	count, err := number("count", maxPage)
	if err != nil {
		return 0, nil, "", err
	}
	start, count = max(start, 1), min(max(count, 0), maxPage)
	from := min(start-1, len(list))
	cut := list[from:min(from+count, len(list))]
	if cut == nil {
		cut = []map[string]any{}
	}
	return http.StatusOK, map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:ListResponse"}, "totalResults": len(list), "startIndex": start, "itemsPerPage": len(cut), "Resources": cut}, "", nil
}
