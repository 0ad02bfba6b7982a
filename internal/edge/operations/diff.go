package operations

import (
	"context"
	"strconv"
	"strings"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/edge/fhirapi"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
	"yarrow.health/internal/standards/fhirpatch"
)

// diffVersions answers Type/x/$diff.
func diffVersions(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	from, err := versionOf(c, "fromVersion")
	if err != nil {
		return nil, err
	}
	to, err := versionOf(c, "toVersion")
	if err != nil {
		return nil, err
	}
	var old, new *fhirstore.Resource
	err = c.View(ctx, func(tx *db.Tx) error {
		if new, err = readVersion(ctx, c, tx, c.Type, c.ID, to); err != nil {
			return err
		}
		if from == 0 {
			if from = new.Version - 1; from == 0 {
				return fhir.Problem("processing", "There is no version before the first.", "Name the versions to compare with fromVersion and toVersion.").At("toVersion")
			}
		}
		old, err = readVersion(ctx, c, tx, c.Type, c.ID, from)
		return err
	})
	if err != nil {
		return nil, err
	}
	return difference(c, old, new)
}

func versionOf(c *fhirapi.Call, name string) (int64, error) {
	s := c.Parameters.Text(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, fhir.Problem("value", name+" is not a version.", "Versions are whole numbers from 1.").At(name)
	}
	return n, nil
}

// readVersion reads a version, 0 for the current one.
func readVersion(ctx context.Context, c *fhirapi.Call, tx *db.Tx, typ, id string, version int64) (*fhirstore.Resource, error) {
	if version == 0 {
		return c.Store().Read(ctx, tx, typ, id)
	}
	return c.Store().ReadVersion(ctx, tx, typ, id, version)
}

// diffResources answers $diff of two resources.
func diffResources(ctx context.Context, c *fhirapi.Call) (*fhirapi.Answer, error) {
	var both [2]*fhirstore.Resource
	err := c.View(ctx, func(tx *db.Tx) error {
		for i, name := range []string{"from", "to"} {
			p := c.Parameters.First(name)
			text := p.Text()
			if p.Type == "Reference" {
				text = p.Value.Get("reference").Text()
			}
			typ, id, ok := fhir.ParseReference(strings.TrimPrefix(text, c.Base+"/"))
			version := int64(0)
			if _, v, named := strings.Cut(text, "/_history/"); named && ok {
				var err error
				version, err = strconv.ParseInt(v, 10, 64)
				ok = err == nil && version > 0
			}
			if !ok {
				return fhir.Problem("value", name+" does not name a resource.", "Write it as Type/id or Type/id/_history/version.").At(name)
			}
			var err error
			if both[i], err = readVersion(ctx, c, tx, typ, id, version); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return difference(c, both[0], both[1])
}

func difference(c *fhirapi.Call, old, new *fhirstore.Resource) (*fhirapi.Answer, error) {
	a, b := old.Node().Clone(), new.Node().Clone()
	if c.Parameters.Text("includeMeta") != "true" {
		for _, n := range []*fhirjson.Node{&a, &b} {
			if meta := n.Get("meta"); meta != nil {
				meta.Delete("versionId")
				meta.Delete("lastUpdated")
				if meta.Len() == 0 {
					n.Delete("meta")
				}
			}
		}
	}
	patch, err := fhirpatch.Diff(&a, &b)
	if err != nil {
		return nil, err
	}
	c.SeeResource(audit.ActionRead, old)
	c.SeeResource(audit.ActionRead, new)
	return &fhirapi.Answer{Resource: patch.AppendJSON(nil)}, nil
}
