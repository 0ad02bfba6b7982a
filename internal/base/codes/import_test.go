package codes

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yarrow.health/internal/base/audit"
	"yarrow.health/internal/base/auth"
	"yarrow.health/internal/base/db"
	"yarrow.health/internal/base/db/dbtest"
	"yarrow.health/internal/base/fhirstore"
	"yarrow.health/internal/standards/corpustest"
	"yarrow.health/internal/standards/fhir"
	"yarrow.health/internal/standards/terminology"
)

type bench struct {
	*Server
	d     *dbtest.DB
	store *fhirstore.Store
	t     testing.TB
}

func benchOn(t testing.TB, d *dbtest.DB) *bench {
	store := fhirstore.New(d.DB, audit.New(d.DB))
	return &bench{New(d.DB, store, Options{}), d, store, t}
}

func each(t *testing.T, fn func(t *testing.T, b *bench)) {
	dbtest.Each(t, func(t *testing.T, d *dbtest.DB) { fn(t, benchOn(t, d)) })
}

func scope(p db.PracticeID) db.Scope { return auth.SystemScope(p, "test") }

// file writes a file of a test and gives its name.
func file(t testing.TB, name, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func zipped(t testing.TB, name string, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for n, text := range files {
		w, err := z.Create(n)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(text))
	}
	z.Close()
	return file(t, name, b.String())
}

// orderLine is one line in the official layout of the ICD-10-CM order file.
func orderLine(n int, code string, billable int, short, long string) string {
	return fmt.Sprintf("%05d %-7s %d %-60s %s\n", n, code, billable, short, long)
}

var icdFile = orderLine(1, "G43", 0, "Migraine", "Migraine") + orderLine(2, "G430", 0, "Migraine without aura", "Migraine without aura") +
	orderLine(3, "G4300", 0, "Migraine w/o aura, not intractable", "Migraine without aura, not intractable") +
	orderLine(4, "G43001", 1, "Migraine w/o aura, not intract, with status", "Migraine without aura, not intractable, with status migrainosus") +
	orderLine(5, "I10", 1, "Essential (primary) hypertension", "Essential (primary) hypertension")

// rf2 makes the three files of a small RF2 snapshot of invented concepts.
func rf2() map[string]string {
	tab := func(cells ...string) string { return strings.Join(cells, "\t") + "\r\n" }
	c := tab("id", "effectiveTime", "active", "moduleId", "definitionStatusId")
	n := tab("id", "effectiveTime", "active", "moduleId", "conceptId", "languageCode", "typeId", "term", "caseSignificanceId")
	r := tab("id", "effectiveTime", "active", "moduleId", "sourceId", "destinationId", "relationshipGroup", "typeId", "characteristicTypeId", "modifierId")
	for i, x := range []struct{ id, active, name, parents string }{{"1001", "1", "Flower", ""}, {"1002", "1", "White flower", "1001"}, {"1003", "1", "Healing flower", "1001"}, {"1004", "1", "Yarrow flower", "1002 1003"}, {"1005", "0", "Old flower", ""}} {
		c += tab(x.id, "20260301", x.active, "9", "9")
		n += tab(fmt.Sprint(2000+2*i), "20260301", "1", "9", x.id, "en", sctFSN, x.name+" (plant)", "9") + tab(fmt.Sprint(2001+2*i), "20260301", "1", "9", x.id, "en", sctSynonym, x.name, "9")
		for _, p := range strings.Fields(x.parents) {
			r += tab(fmt.Sprint(3000+i), "20260301", "1", "9", x.id, p, "0", sctIsA, "9", "9")
		}
		r += tab(fmt.Sprint(4000+i), "20260301", "1", "9", x.id, "1001", "1", "363698007", "9", "9")
	}
	return map[string]string{"S/Terminology/sct2_Concept_Snapshot_XX_20260301.txt": c, "S/Terminology/sct2_Description_Snapshot-en_XX_20260301.txt": n, "S/Terminology/sct2_Relationship_Snapshot_XX_20260301.txt": r}
}

const loincFile = "\"LOINC_NUM\",\"COMPONENT\",\"PROPERTY\",\"TIME_ASPCT\",\"SYSTEM\",\"SCALE_TYP\",\"METHOD_TYP\",\"CLASS\",\"VersionLastChanged\",\"STATUS\",\"CLASSTYPE\",\"RELATEDNAMES2\",\"SHORTNAME\",\"LONG_COMMON_NAME\",\"COMMON_TEST_RANK\"\n" +
	"\"99001-1\",\"Petals\",\"NCnc\",\"Pt\",\"Flower\",\"Qn\",\"\",\"CHEM\",\"2.82\",\"ACTIVE\",\"1\",\"Blossom; Bloom\",\"Petals Flr-nCnc\",\"Petals [#/volume] in Flower\",\"12\"\n" +
	"\"99002-9\",\"Leaves\",\"NCnc\",\"Pt\",\"Flower\",\"Qn\",\"\",\"CHEM\",\"2.80\",\"DEPRECATED\",\"1\",\"\",\"\",\"Leaves [#/volume] in Flower\",\"0\"\n" +
	"\"99003-7\",\"Garden note\",\"Find\",\"Pt\",\"{Setting}\",\"Doc\",\"\",\"DOC.CLINRPT\",\"2.81\",\"ACTIVE\",\"2\",\"\",\"\",\"Garden note\",\"0\"\n"

func rrf(cells ...string) string { return strings.Join(cells, "|") + "|\n" }

func conso(cui, tty, name, sab, suppress string) string {
	return rrf(cui, "ENG", "", "", "", "", "", "1", "", "", "", sab, tty, cui, name, "0", suppress, "4096")
}

func TestImportKinds(t *testing.T) {
	for _, c := range []struct {
		name    string
		im      Import
		version string
		check   func(t *testing.T, cs *terminology.CodeSystem)
	}{
		{"ICD-10-CM order file", Import{Kind: "icd10cm", Files: []string{file(t, "icd10cm-order-2026.txt", icdFile)}}, "FY2026", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "G43.001", "Migraine without aura, not intractable, with status migrainosus", "G43.00")
			a, _ := cs.Find("G43")
			b, _ := cs.Find("G43.001")
			if !cs.Subsumes(a, b) || !cs.Entry(a).Heading || cs.Entry(b).Heading {
				t.Error("the hierarchy of codes does not hold")
			}
			if i, _ := cs.Find("I10"); !cs.Common(i) {
				t.Error("the common code is not known as common")
			}
		}},
		{"HCPCS CSV", Import{Kind: "hcpcs", Files: []string{file(t, "hcpcs-2026-01.csv", "HCPC,SEQNUM,RECID,LONG DESCRIPTION,SHORT DESCRIPTION,ADD DT,TERM DT\nA4206,10,3,\"Syringe with needle, sterile\",1 cc sterile syringe,19860101,\nD0120,10,3,Dental,Dental,,\nJ0000,10,3,Old thing,Old,19900101,20201231\nLT,10,7,Left side,Left,,\n")}}, "2026-01", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "A4206", "Syringe with needle, sterile", "")
			if _, dental := cs.Find("D0120"); dental {
				t.Error("a dental code was taken in")
			}
			if i, _ := cs.Find("J0000"); !cs.Inactive(i) {
				t.Error("an ended code is active")
			}
		}},
		{"HCPCS fixed columns", Import{Kind: "hcpcs", Files: []string{file(t, "HCPC2026_JAN_ANWEB.txt", fmt.Sprintf("%-5s%-5s%s%-80s%-28s\n%-5s%-5s%s%-80s%-28s\n", "A4206", "00100", "3", "Syringe with needle,", "Syringe", "A4206", "00200", "4", "sterile, 1 cc or less", ""))}}, "2026-01", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "A4206", "Syringe with needle, sterile, 1 cc or less", "")
		}},
		{"RxNorm RRF", Import{Kind: "rxnorm", Release: "2026-07-06", Files: []string{
			file(t, "RXNCONSO.RRF", conso("1", "IN", "yarrowin", "RXNORM", "N")+conso("2", "SCD", "yarrowin 10 MG Oral Tablet", "RXNORM", "N")+conso("2", "PSN", "yarrowin 10 mg tablet", "RXNORM", "N")+conso("3", "SBD", "old brand", "RXNORM", "O")+conso("4", "PT", "owned by others", "MMSL", "N")+conso("5", "SCDF", "yarrowin Oral Tablet", "RXNORM", "N")),
			file(t, "RXNREL.RRF", rrf("5", "", "CUI", "RB", "2", "", "CUI", "isa", "1", "", "RXNORM", "RXNORM", "", "", "N", "")),
		}}, "2026-07-06", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "2", "yarrowin 10 mg tablet", "5")
			if _, other := cs.Find("4"); other {
				t.Error("a name of another source was taken in")
			}
			if i, _ := cs.Find("3"); !cs.Inactive(i) {
				t.Error("an obsolete concept is active")
			}
		}},
		{"RxTerms", Import{Kind: "rxnorm", Files: []string{file(t, "RxTerms202607.txt", "RXCUI|GENERIC_RXCUI|TTY|FULL_NAME|RXN_DOSE_FORM|FULL_GENERIC_NAME|BRAND_NAME|DISPLAY_NAME|ROUTE|NEW_DOSE_FORM|STRENGTH|SUPPRESS_FOR|DISPLAY_NAME_SYNONYM|IS_RETIRED|SXDG_RXCUI|SXDG_TTY|SXDG_NAME|PSN\n11|11|SCD|yarrowin 10 MG Oral Tablet|Oral Tablet|yarrowin 10 MG Oral Tablet||Yarrowin (Oral Pill)|Oral Pill|Tab|10 mg||YRW||12|SCDG|Yarrowin Oral Product|yarrowin 10 MG Oral Tablet\n")}}, "2026-07", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "11", "yarrowin 10 MG Oral Tablet", "12")
			if h := cs.Search("yrw", 5, nil); len(h) != 1 {
				t.Error("the synonym of the file finds nothing")
			}
		}},
		{"NDC", Import{Kind: "ndc", Release: "2026-07-01", Files: []string{
			file(t, "product.txt", "PRODUCTID\tPRODUCTNDC\tPRODUCTTYPENAME\tPROPRIETARYNAME\tPROPRIETARYNAMESUFFIX\tNONPROPRIETARYNAME\tDOSAGEFORMNAME\tACTIVE_NUMERATOR_STRENGTH\tACTIVE_INGRED_UNIT\tENDMARKETINGDATE\nx\t0002-1433\tHUMAN\tYarrovia\t\tyarrowin\tTABLET\t10\tmg\t\n"),
			file(t, "package.txt", "PRODUCTID\tPRODUCTNDC\tNDCPACKAGECODE\tPACKAGEDESCRIPTION\tENDMARKETINGDATE\nx\t0002-1433\t0002-1433-80\t30 TABLET in 1 BOTTLE\t\n"),
		}}, "2026-07-01", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "00002143380", "Yarrovia 10 mg tablet, 30 TABLET in 1 BOTTLE", "")
			if h := cs.Search("yarrowin", 5, nil); len(h) != 1 {
				t.Error("the ingredient finds nothing")
			}
		}},
		{"CVX text", Import{Kind: "cvx", Files: []string{file(t, "cvx.txt", "3|MMR|measles, mumps and rubella virus vaccine||Active|False|2010/05/28\n998|no vaccine administered|no vaccine administered||Inactive|True|2026-05-28\n")}}, "2026-05-28", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "03", "MMR", "")
		}},
		{"MVX XML", Import{Kind: "mvx", Files: []string{file(t, "mvx.xml", `<MVXCodes><MVXInfo><Name>MVX_CODE</Name><Value>YRW</Value><Name>Manufacturer Name</Name><Value>Yarrow Works</Value><Name>Status</Name><Value>Active</Value><Name>Last Updated</Name><Value>11/6/2025</Value></MVXInfo></MVXCodes>`)}}, "2025-11-06", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "YRW", "Yarrow Works", "")
		}},
		{"LOINC", Import{Kind: "loinc", Files: []string{zipped(t, "Loinc_2.82.zip", map[string]string{"LoincTable/Loinc.csv": loincFile, "readme.txt": "x"})}}, "2.82", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "99001-1", "Petals [#/volume] in Flower", "")
			if i, _ := cs.Find("99002-9"); !cs.Inactive(i) {
				t.Error("a deprecated code is active")
			}
		}},
		{"LOINC with its hierarchy", Import{Kind: "loinc", Files: []string{zipped(t, "Loinc_2.83.zip", map[string]string{"LoincTable/Loinc.csv": strings.ReplaceAll(loincFile, "2.82", "2.83"),
			"AccessoryFiles/ComponentHierarchyBySystem/ComponentHierarchyBySystem.csv": "PATH_TO_ROOT,SEQUENCE,IMMEDIATE_PARENT,CODE,CODE_TEXT\n,1,,LP99001-0,Garden\nLP99001-0,1,LP99001-0,LP99002-8,Flowers\n" +
				"LP99001-0.LP99002-8,1,LP99002-8,99001-1,Petals\nLP99001-0.LP99002-8,2,LP99002-8,99002-9,Leaves\nLP99001-0,2,LP99001-0,99001-1,Petals\nLP99001-0,3,LP99001-0,98765-4,Of another release\n"})}}, "2.83", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "LP99002-8", "Flowers", "LP99001-0")
			garden, _ := cs.Find("LP99001-0")
			petals, _ := cs.Find("99001-1")
			note, _ := cs.Find("99003-7")
			if !cs.Subsumes(garden, petals) || cs.Subsumes(garden, note) || cs.Subsumes(petals, garden) || len(cs.Parents(petals)) != 2 || !cs.Abstract(garden) || cs.Abstract(petals) {
				t.Error("the hierarchy of parts does not hold")
			}
			if _, there := cs.Find("98765-4"); there {
				t.Error("a code that the release does not have was made of the hierarchy")
			}
			sh := &terminology.Shelf{CodeSystem: func(string, string) (*terminology.CodeSystem, error) { return cs, nil }}
			for property, want := range map[string]int{"ancestor": 3, "parent": 2} {
				set, err := sh.Evaluate(&terminology.ValueSet{Include: []terminology.Include{{System: terminology.LOINC, Filters: []terminology.Filter{{Property: property, Op: "=", Value: "LP99001-0"}}}}})
				if err != nil {
					t.Fatal(err)
				}
				if all, _ := set.Codes(100); len(all) != want {
					t.Errorf("%s gives %v", property, all)
				}
			}
		}},
		{"SNOMED CT", Import{Kind: "snomed", Holder: "UMLS 12345", Files: []string{zipped(t, "SnomedCT_XX_20260301.zip", rf2())}}, "2026-03-01", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "1004", "Yarrow flower", "1002")
			a, _ := cs.Find("1003")
			b, _ := cs.Find("1004")
			if !cs.Subsumes(a, b) || cs.Subsumes(b, a) {
				t.Error("is-a does not hold")
			}
		}},
		{"CPT", Import{Kind: "cpt", Holder: "AMA 1", Files: []string{file(t, "LONGULT 2026.txt", "A licence text\n\n00001 Invented service of the first kind\n0002T Invented service of the second kind\n")}}, "2026", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "0002T", "Invented service of the second kind", "")
		}},
		{"NUCC", Import{Kind: "nucc", Holder: "NUCC 1", Files: []string{file(t, "nucc_taxonomy_251.csv", "\"Code\",\"Grouping\",\"Classification\",\"Specialization\",\"Definition\",\"Display Name\"\n\"999Y00000X\",\"Gardeners\",\"Herbalist\",\"\",\"\",\"Herbalist\"\n\"999YA0001X\",\"Gardeners\",\"Herbalist\",\"Yarrow\",\"\",\"Yarrow Herbalist\"\n")}}, "25.1", func(t *testing.T, cs *terminology.CodeSystem) {
			expect(t, cs, "999YA0001X", "Yarrow Herbalist", "999Y00000X")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := benchOn(t, dbtest.SQLite(t, nil))
			r, err := b.Import(context.Background(), scope(1), c.im)
			if err != nil {
				t.Fatal(err)
			}
			if r.Release.Version != c.version || r.Same {
				t.Errorf("%+v", r.Release)
			}
			b.system(r.Release.System, "", func(cs *terminology.CodeSystem) {
				if cs == nil || cs.Version != c.version {
					t.Fatalf("the release is not found: %+v", cs)
				}
				c.check(t, cs)
			})
			if again, err := b.Import(context.Background(), scope(1), c.im); err != nil || !again.Same {
				t.Errorf("the second import did something: %+v %v", again, err)
			}
		})
	}
}

func (b *bench) system(url, version string, fn func(cs *terminology.CodeSystem)) {
	b.t.Helper()
	err := b.With(context.Background(), 1, func(sh *terminology.Shelf) error {
		cs, err := sh.CodeSystem(url, version)
		if err == nil {
			fn(cs)
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func expect(t *testing.T, cs *terminology.CodeSystem, code, display, parent string) {
	t.Helper()
	i, ok := cs.Find(code)
	if !ok {
		t.Fatalf("%s is missing among %d concepts", code, cs.Len())
	}
	e := cs.Entry(i)
	if e.Display != display || parent != "" && (len(e.Parents) == 0 || e.Parents[0] != parent) {
		t.Errorf("%+v, want %q under %q", e, display, parent)
	}
}

func TestRefusedFilesSayWhere(t *testing.T) {
	b := benchOn(t, dbtest.SQLite(t, nil))
	for _, c := range []struct {
		name string
		im   Import
		says string
	}{
		{"no such kind", Import{Kind: "icd11"}, "no kind"},
		{"no such file", Import{Kind: "cvx", Files: []string{"/nowhere/cvx.xml"}}, "no file"},
		{"the wrong file", Import{Kind: "loinc", Files: []string{file(t, "notes.txt", "x")}}, "notes.txt"},
		{"cut order file", Import{Kind: "icd10cm", Files: []string{file(t, "icd10cm-order-2026.txt", icdFile[:len(icdFile)-60])}}, "line 5"},
		{"not an order file", Import{Kind: "icd10cm", Files: []string{file(t, "icd10cm-order-2026.txt", "hello\n")}}, "line 1"},
		{"missing column", Import{Kind: "loinc", Files: []string{file(t, "Loinc.csv", "LOINC_NUM,COMPONENT\n1-8,a\n")}}, "no column long_common_name"},
		{"bad code", Import{Kind: "loinc", Files: []string{file(t, "Loinc.csv", "LOINC_NUM,COMPONENT,LONG_COMMON_NAME,STATUS,CLASS\nx,a,b,ACTIVE,c\n")}}, "line 2"},
		{"no head line", Import{Kind: "nucc", Holder: "x", Files: []string{file(t, "nucc_taxonomy_251.csv", "")}}, "empty"},
		{"SNOMED without descriptions", Import{Kind: "snomed", Holder: "x", Files: []string{file(t, "sct2_Concept_Snapshot_XX_20260301.txt", rf2()["S/Terminology/sct2_Concept_Snapshot_XX_20260301.txt"])}}, "sct2_Description_Snapshot"},
		{"SNOMED without licence", Import{Kind: "snomed", Files: []string{file(t, "x.txt", "")}}, "licence"},
		{"short RRF row", Import{Kind: "rxnorm", Files: []string{file(t, "RXNCONSO.RRF", "1|ENG|\n")}}, "18 columns"},
		{"a binary file", Import{Kind: "cpt", Holder: "x", Files: []string{file(t, "LONGULT.txt", "PK\x03\x04\x00\x00")}}, "not a text file"},
		{"a broken archive", Import{Kind: "loinc", Files: []string{file(t, "Loinc.zip", "PK\x03\x04")}}, "not a whole .zip"},
		{"a broken gzip", Import{Kind: "cvx", Files: []string{file(t, "cvx.xml.gz", "no")}}, "not a whole .gz"},
		{"XML with DOCTYPE", Import{Kind: "cvx", Files: []string{file(t, "cvx.xml", `<!DOCTYPE a [<!ENTITY b "c">]><CVXCodes/>`)}}, "DOCTYPE"},
		{"XML cut short", Import{Kind: "cvx", Files: []string{file(t, "cvx.xml", `<CVXCodes><CVXInfo><CVXCode>1</CVXCode>`)}}, "ends in the middle"},
		{"edition unknown", Import{Kind: "loinc", Files: []string{file(t, "Loinc.csv", "LOINC_NUM,COMPONENT,LONG_COMMON_NAME,STATUS,CLASS\n1-8,a,b,ACTIVE,c\n")}}, "--release"},
		{"date that is none", Import{Kind: "cvx", From: "soon"}, "not a day"},
		{"package without product", Import{Kind: "ndc", Files: []string{file(t, "product.txt", "a\n")}}, "package.txt is not"},
	} {
		_, err := b.Import(context.Background(), scope(1), c.im)
		var i *fhir.Issue
		if !errors.As(err, &i) || !strings.Contains(i.Text+" "+i.Fix, c.says) || i.Fix == "" {
			t.Errorf("%s: %v, want words with %q", c.name, err, c.says)
		}
	}
	if list, err := b.Releases(context.Background(), scope(1)); err != nil || len(list) != 0 {
		t.Errorf("something was kept of refused files: %v %v", list, err)
	}
}

func TestEditionsLiveSideBySide(t *testing.T) {
	each(t, func(t *testing.T, b *bench) {
		ctx := context.Background()
		next := strings.ReplaceAll(icdFile, "migrainosus", "migrainosus, renamed")
		next = next[strings.Index(next, "00005"):] + orderLine(6, "Z99", 1, "New", "New this year")
		for _, f := range []string{file(t, "icd10cm-order-2020.txt", icdFile), file(t, "icd10cm-order-2021.txt", next)} {
			r, err := b.Import(ctx, scope(1), Import{Kind: "icd10cm", Files: []string{f}})
			if err != nil {
				t.Fatal(err)
			}
			if r.Warning == "" {
				t.Error("an edition that ended years ago gives no warning")
			}
		}
		b.system(terminology.ICD10CM, "", func(cs *terminology.CodeSystem) {
			if cs.Version != "FY2021" {
				t.Errorf("%s is current", cs.Version)
			}
			i, ok := cs.Find("G43.001")
			if !ok || !cs.Inactive(i) || cs.Display(i) == "" {
				t.Error("a retired code does not display any more")
			}
		})
		b.system(terminology.ICD10CM, "FY2020", func(cs *terminology.CodeSystem) {
			if i, ok := cs.Find("G43.001"); !ok || cs.Inactive(i) {
				t.Error("the older edition changed")
			}
		})
		b.system(terminology.ICD10CM, "FY1999", func(cs *terminology.CodeSystem) {
			if cs != nil {
				t.Error("an edition that is not here is found")
			}
		})
		if err := b.With(ctx, 2, func(sh *terminology.Shelf) error {
			cs, err := sh.CodeSystem(terminology.ICD10CM, "")
			if err == nil && cs.Content != "fragment" {
				t.Error("another practice uses the release")
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		if _, err := b.Remove(ctx, scope(1), "icd10cm", "FY1999"); err == nil {
			t.Error("an edition that is not here was removed")
		}
		if _, err := b.Remove(ctx, scope(1), "icd10cm", "FY2021"); err != nil {
			t.Error(err)
		}
		list, err := b.Releases(ctx, scope(1))
		if err != nil || len(list) != 1 || list[0].Version != "FY2020" || list[0].Concepts != 5 {
			t.Errorf("%+v %v", list, err)
		}
		b.system(terminology.ICD10CM, "", func(cs *terminology.CodeSystem) {
			if cs.Version != "FY2020" {
				t.Errorf("%s is current", cs.Version)
			}
		})
	})
}

func TestLastDays(t *testing.T) {
	r := Release{Name: "CPT", Version: "2026", Tier: Own, Until: "2026-12-31"}
	for day, says := range map[string]string{"2026-06-01": "", "2026-11-15": "in 46 days", "2026-12-31": "in 0 days", "2027-01-01": "not offered"} {
		now, _ := time.Parse(time.DateOnly, day)
		if got := r.Warning(now); !strings.Contains(got, says) || says == "" && got != "" {
			t.Errorf("%s: %q", day, got)
		}
	}
}

func TestElevenDigits(t *testing.T) {
	for in, want := range map[string]string{"0002-1433-80": "00002143380", "50242-040-62": "50242004062", "12345-6789-1": "12345678901", "00002143380": "00002143380", "0002143380": "", "1-2": "", "123456-1234-12": "", "12345-12a4-12": ""} {
		if got, ok := ElevenDigits(in); got != want || ok != (want != "") {
			t.Errorf("%s: %q %v", in, got, ok)
		}
	}
}

// TestOfficialFiles takes in whole files of the owners.
func TestOfficialFiles(t *testing.T) {
	dir := corpustest.Folder(t, "codesets")
	if dir == "" {
		return
	}
	at := func(names ...string) (out []string) {
		for _, n := range names {
			out = append(out, filepath.Join(dir, n))
		}
		return out
	}
	b := benchOn(t, dbtest.SQLite(t, nil))
	for _, c := range []struct {
		im                Import
		version           string
		concepts, retired int // at least
		code, display     string
	}{
		{Import{Kind: "icd10cm", Files: at("icd10cm-order-Jan-2021.txt.gz", "icd10cm_tabular_2021.xml.gz")}, "FY2021", 95000, 0, "E11.9", "Type 2 diabetes mellitus without complications"},
		{Import{Kind: "icd10cm", Files: at("icd10cm-fy2026-billable.csv.gz", "icd10cm-retired-2021-2025.csv.gz", "icd10cm_tabular_2021.xml.gz")}, "FY2026", 85000, 100, "I10", "Essential (primary) hypertension"},
		{Import{Kind: "hcpcs", Files: at("hcpcs-level2-2025-10.csv.gz")}, "2025-10", 8000, 0, "J1100", "Injection, dexamethasone sodium phosphate, 1 mg"},
		{Import{Kind: "cvx", Files: at("vaccines-cdc/cvx.xml.gz", "vaccines-cdc/tradename.xml.gz")}, "", 250, 30, "03", "MMR"},
		{Import{Kind: "mvx", Files: at("vaccines-cdc/mvx.xml.gz")}, "", 80, 30, "PFR", "Pfizer, Inc"},
		{Import{Kind: "ndc", Release: "2026", Files: at("vaccines-cdc/NDC_Unit_sale.txt.gz", "vaccines-cdc/NDC_Unit_use.txt.gz")}, "2026", 700, 0, "49281042550", ""},
		{Import{Kind: "nucc", Holder: "test", Files: at("nucc/nucc_taxonomy_251.csv.gz")}, "25.1", 850, 0, "207Q00000X", "Family Medicine Physician"},
	} {
		r, err := b.Import(context.Background(), scope(1), c.im)
		if err != nil {
			t.Errorf("%s: %v", c.im.Kind, err)
			continue
		}
		t.Logf("%s %s: %d concepts, %d retired, %d carried over, %d KB, %v", r.Release.Name, r.Release.Version, r.Release.Concepts, r.Release.Retired, r.Release.Carried, r.Release.Bytes>>10, r.Notes)
		if c.version != "" && r.Release.Version != c.version || r.Release.Concepts < c.concepts || r.Release.Retired < c.retired {
			t.Errorf("%+v", r.Release)
		}
		b.system(r.Release.System, r.Release.Version, func(cs *terminology.CodeSystem) {
			i, ok := cs.Find(c.code)
			if !ok || c.display != "" && cs.Display(i) != c.display {
				t.Errorf("%s %s is %v", c.im.Kind, c.code, ok)
				if ok {
					t.Log(cs.Display(i))
				}
			}
		})
	}
}
