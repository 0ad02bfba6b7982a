package codes

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoaders gives every loader any bytes under the names its owner uses: it ends in codes or in words, never in a panic.
func FuzzLoaders(f *testing.F) {
	names := []struct{ kind, file string }{{"icd10cm", "icd10cm-order-2026.txt"}, {"icd10cm", "icd10cm-2026.csv"}, {"icd10cm", "icd10cm-tabular-2026.xml"}, {"hcpcs", "HCPC2026_JAN_ANWEB.txt"}, {"hcpcs", "hcpcs-2026-01.csv"},
		{"rxnorm", "RXNCONSO.RRF"}, {"rxnorm", "RxTerms202607.txt"}, {"ndc", "NDC_Unit_sale.txt"}, {"cvx", "cvx.xml"}, {"cvx", "cvx.txt"}, {"mvx", "mvx.xml"}, {"loinc", "Loinc.csv"}, {"snomed", "release.zip"}, {"cpt", "LONGULT.txt"}, {"cpt", "cpt.csv"}, {"nucc", "nucc_taxonomy_251.csv"}, {"loinc", "Loinc.csv.gz"}}
	for i, seed := range []string{icdFile, "code,description\nA00,Cholera\n", "<t><version>2026</version><chapter><name>1</name><desc>c</desc><section id=\"A00-A09\"><desc>s</desc><diag><name>A00</name><desc>d</desc></diag></section></chapter></t>", "A420600100" + "3Syringe", "HCPC,LONG DESCRIPTION\nA4206,x\n",
		conso("1", "IN", "a", "RXNORM", "N"), "RXCUI|DISPLAY_NAME|FULL_NAME\n1|a|b\n", "1|2|3|4|5|6|7|8|9|10|11|12|13\n", "<CVXCodes><CVXInfo><CVXCode>1</CVXCode></CVXInfo></CVXCodes>", "1|a|b||Active|False|2026/01/01\n", "<MVXCodes><MVXInfo><Name>MVX_CODE</Name><Value>A</Value></MVXInfo></MVXCodes>", loincFile, "PK", "00001 x\n", "code,description\n00001,x\n", "Code,Grouping,Classification,Specialization\n999Y00000X,a,b,c\n", "\x1f\x8b"} {
		f.Add(uint8(i), []byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		n := names[int(which)%len(names)]
		file := filepath.Join(dir, n.file)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := openFiles(context.Background(), []string{file})
		if err != nil {
			return
		}
		defer in.close()
		kind, err := KindOf(n.kind)
		if err != nil {
			t.Fatal(err)
		}
		d, err := kind.load(in)
		if err != nil || len(d.entries) == 0 {
			return
		}
		cs, err := d.system(kind, &Release{Version: "1"})
		if err == nil && cs.Len() != len(d.entries) {
			t.Fatalf("%d concepts of %d", cs.Len(), len(d.entries))
		}
	})
}
