package profile

import "yarrow.health/internal/standards/fhirjson"

// vitals are the profiles that R4 asks of an Observation with one of these LOINC codes, whether it declares them or not
// (R4 observation-vitalsigns, "Vital Signs Profiles": the magic codes).
var vitals = map[string]string{
	"85353-1": "vitalspanel", "9279-1": "resprate", "8867-4": "heartrate", "2708-6": "oxygensat", "8310-5": "bodytemp", "8302-2": "bodyheight",
	"9843-4": "headcircum", "29463-7": "bodyweight", "39156-5": "bmi", "85354-9": "bp",
}

// vitalSigns lists the profiles of vital signs that an Observation must conform to by its code.
func vitalSigns(n *fhirjson.Node) (urls []string) {
	for _, c := range n.At("code", "coding").Items() {
		if name := vitals[c.Get("code").Text()]; name != "" && c.Get("system").Text() == "http://loinc.org" {
			urls = append(urls, structureBase+name)
		}
	}
	return urls
}
