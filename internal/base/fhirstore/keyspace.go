package fhirstore

import (
	"math"

	"yarrow.health/internal/base/keys"
)

// keyspace makes the keyed hashes of one practice. Each kind of key has a first part of its own, so that
// no value of one kind can be taken for another. The forms are data on disk: to change one means to
// rebuild the index (Store.Check with repair).
type keyspace struct{ h keys.Hasher }

func keyspaceOf(k *keys.Practice) keyspace { return keyspace{k.Hasher()} }

func (k keyspace) sum(parts ...string) int64 {
	h := k.h
	for _, p := range parts {
		h.Part(p)
	}
	return h.Sum()
}

// id is the identity of a resource: the unique key of table resource, and the value of its columns
// patient, encounter and author.
func (k keyspace) id(typ, id string) int64 { return k.sum("id", typ, id) }

// ref is id for a reference in the form "Type/id"; 0 for "".
func (k keyspace) ref(reference string) int64 {
	for i := range len(reference) {
		if reference[i] == '/' {
			return k.id(reference[:i], reference[i+1:])
		}
	}
	return 0
}

// token is a code or identifier value of a parameter, in whatever system: the system is checked on the
// decoded body.
func (k keyspace) token(typ, param, code string) int64 { return k.sum("t", typ, param, code) }

// reference is a reference parameter's target: "Type/id", or the URL of something elsewhere.
func (k keyspace) reference(typ, param, target string) int64 { return k.sum("r", typ, param, target) }

// patient lists the resources of a type that belong to a patient's compartment.
func (k keyspace) patient(typ, patient string) int64 {
	return k.near(patient, k.sum("p", typ, patient))
}

// patientCode is patient and code in one, for the types in pairTypes.
func (k keyspace) patientCode(typ, patient, code string) int64 {
	return k.near(patient, k.sum("pc", typ, patient, code))
}

// near gives all keys of a patient the same upper half, so that a visit's rows fall on few pages. The lower
// half still depends on everything, so two keys are no likelier to be the same.
func (k keyspace) near(patient string, h int64) int64 {
	return k.sum("near", patient)&^0xffffffff | h&0xffffffff
}

// word is the beginning of a folded word of a string parameter.
func (k keyspace) word(typ, param, prefix string) int64 { return k.sum("w", typ, param, prefix) }

// uri is the whole value of a uri parameter.
func (k keyspace) uri(typ, param, value string) int64 { return k.sum("u", typ, param, value) }

// span is the p of table rkey for a parameter.
func (k keyspace) span(typ, param string) int64 { return k.sum("n", typ, param) }

// codeValue is the p of table rkey for the numbers an Observation gives to a code.
func (k keyspace) codeValue(typ, code string) int64 { return k.sum("cv", typ, code) }

// base is the p of table rkey for amounts in base units of a kind, and baseValue that of amounts an Observation gives to
// a code. Only amounts in units that are not common have such rows.
func (k keyspace) base(typ, param, dim string) int64     { return k.sum("nb", typ, param, dim) }
func (k keyspace) baseValue(typ, code, dim string) int64 { return k.sum("cvb", typ, code, dim) }

// facetBits is the mask of a value in resource.facet: two of 63 bits, the sign left out so that "all bits
// set" may be asked as facet & mask >= mask, of which PostgreSQL expects more than of an equality. A resource holds the value only if
// both are set; it may not hold it although they are.
func (k keyspace) facetBits(typ, param, value string) int64 {
	s := uint64(k.sum("f", typ, param, value))
	return int64(1<<(s%63) | 1<<((s>>32)%63))
}

// lock is the row that conditional writes with the same criteria wait on.
func (k keyspace) lock(criteria string) int64 { return k.sum("lock", criteria) & 1023 }

// ordered maps numbers to integers of the same order, for the lo and hi of table rkey.
func ordered(f float64) int64 {
	if f == 0 {
		f = 0 // -0 and 0 are equal
	}
	bits := int64(math.Float64bits(f))
	if bits < 0 {
		bits ^= math.MaxInt64
	}
	return bits
}
