package profile

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/fhirjson"
)

// Package is an implementation guide as it is published: an NPM package of FHIR resources.
type Package struct {
	Name, Version string
	FHIRVersions  []string
	Canonical     string
	Licence       string
	Depends       map[string]string // package → version
	Resources     []Published       // in the order of the archive, examples left out
}

// Published is a definition in a package.
type Published struct {
	Type, URL, Version, ID, Name string
	Raw                          []byte
}

// publishedTypes are the resources of a guide that the server makes use of.
var publishedTypes = []string{"StructureDefinition", "ValueSet", "CodeSystem", "ConceptMap", "SearchParameter", "OperationDefinition", "Questionnaire", "CapabilityStatement", "ImplementationGuide"}

// The limits of a package: the largest guides known have 30 MB packed and 15,000 files.
const (
	maxPacked   = 64 << 20
	maxUnpacked = 1 << 30
	maxMember   = 32 << 20
	maxMembers  = 50_000
	maxRatio    = 250
)

// ReadPackage reads package.tgz. Archives that are too large, unpack to far more than they hold, or name paths outside
// themselves are refused; errors are *fhir.Issue. It reads r to the end or to the first fault.
func ReadPackage(r io.Reader) (*Package, error) {
	packed := &counter{r: io.LimitReader(r, maxPacked+1)}
	z, err := gzip.NewReader(bufio.NewReader(packed))
	if err != nil {
		return nil, fhir.Problem("structure", "This is not a package: it is not a gzip archive.", "Give the package.tgz of an implementation guide.").Because(err)
	}
	plain := &counter{r: io.LimitReader(z, maxUnpacked+1)}
	p := &Package{}
	archive := tar.NewReader(plain)
	for members := 0; ; members++ {
		h, err := archive.Next()
		if fault := tooMuch(packed, plain, members); fault != nil {
			return nil, fault
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, broken(err)
		}
		if err := p.member(h, archive); err != nil {
			return nil, err
		}
		if fault := tooMuch(packed, plain, members); fault != nil {
			return nil, fault
		}
	}
	if p.Name == "" {
		return nil, fhir.Problem("structure", "The archive has no package/package.json, so it is no package of an implementation guide.", "Give the package.tgz that the guide's page offers.")
	}
	if len(p.FHIRVersions) > 0 && !slices.ContainsFunc(p.FHIRVersions, func(v string) bool { return strings.HasPrefix(v, "4.0") }) {
		return nil, fhir.Problem("not-supported", "The package "+shown(p.Name)+" is for FHIR "+orList(p.FHIRVersions)+", not for R4.", "Give the R4 edition of the guide.")
	}
	return p, nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func tooMuch(packed, plain *counter, members int) error {
	switch {
	case packed.n > maxPacked, plain.n > maxUnpacked, members > maxMembers:
		return fhir.Problem("too-long", "The package is larger than a guide may be (64 MB packed, 1 GB unpacked, 50,000 files).", "Give the guide's own package.tgz, without what was added to it.")
	case plain.n > 10<<20 && plain.n > maxRatio*packed.n:
		return fhir.Problem("too-costly", "The package unpacks to far more than it holds, as only archives do that are made to do harm.", "Fetch the package again from the guide's page.")
	}
	return nil
}

func broken(err error) error {
	return fhir.Problem("structure", "The package is damaged: the archive cannot be read to its end.", "Fetch it again.").Because(err)
}

// member takes one file of the archive.
func (p *Package) member(h *tar.Header, r io.Reader) error {
	name := h.Name
	if strings.HasPrefix(name, "/") || strings.Contains(name, "\\") || slices.Contains(strings.Split(name, "/"), "..") {
		return fhir.Problem("security", "The package names a path outside itself.", "Fetch the package again from the guide's page.")
	}
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	default:
		return fhir.Problem("security", "The package holds links or devices, which a guide has no use for.", "Fetch the package again from the guide's page.")
	}
	dir, file := path.Split(path.Clean(name))
	if dir != "package/" || !strings.HasSuffix(file, ".json") || strings.HasPrefix(file, ".") {
		return nil
	}
	typ, _, _ := strings.Cut(file, "-")
	if file != "package.json" && !slices.Contains(publishedTypes, typ) {
		return nil
	}
	if h.Size > maxMember {
		return fhir.Problem("too-long", "A file of the package is larger than 32 MB.", "Import value sets of that size as terminology (yarrow import terminology).")
	}
	raw, err := io.ReadAll(io.LimitReader(r, maxMember+1))
	if err != nil {
		return broken(err)
	}
	n, err := fhirjson.Parse(raw, fhirjson.Limits{Bytes: maxMember})
	if err != nil {
		return fhir.Problem("structure", "A file of the package is not JSON: "+shown(file)+".", "Fetch the package again.").Because(err)
	}
	if file == "package.json" {
		p.describe(n)
		return nil
	}
	if n.Get("resourceType").Text() == typ {
		p.Resources = append(p.Resources, Published{typ, n.Get("url").Text(), n.Get("version").Text(), n.Get("id").Text(), n.Get("name").Text(), raw})
	}
	return nil
}

// describe reads package.json.
func (p *Package) describe(n *fhirjson.Node) {
	p.Name, p.Version = n.Get("name").Text(), n.Get("version").Text()
	p.Canonical, p.Licence = n.Get("canonical").Text(), n.Get("license").Text()
	p.FHIRVersions = texts(n.Get("fhirVersions"))
	if len(p.FHIRVersions) == 0 {
		p.FHIRVersions = texts(n.Get("fhir-version-list"))
	}
	p.Depends = map[string]string{}
	for _, m := range n.Get("dependencies").Members() {
		p.Depends[m.Name] = m.Value.Text()
	}
}

// AddPackage promises the definitions of a package to the set; each is read when it is first asked for.
func (s *Set) AddPackage(p *Package) {
	for _, x := range p.Resources {
		if x.Type == "StructureDefinition" && x.URL != "" {
			s.AddLazy(x.URL, x.Version, func() (*Definition, error) { return s.readPublished(x.Raw) })
		}
	}
}

// readPublished reads a StructureDefinition; the snapshot is taken where its base is not known here.
func (s *Set) readPublished(raw []byte) (*Definition, error) {
	n, err := fhirjson.Parse(raw, fhirjson.Limits{Bytes: maxMember})
	if err != nil {
		return nil, err
	}
	base := n.Get("baseDefinition").Text()
	if !IsR4(base) && s.Find(base) == nil {
		return ReadWhole(n)
	}
	return Read(n)
}
