package fhirjson

// chunks sets the sizes of the first slabs from the length of the document.
// Compact FHIR has a member about every 20 bytes; later slabs grow.
func (p *parser) chunks(length int) {
	p.chunkM = min(length/20+4, 512)
	p.chunkI = min(length/80+2, 128)
	p.chunkK = min(length/36+3, 256)
}

// maxChunk bounds what a slab may waste.
const maxChunk = 4096

// newKids returns the next free kids of the slab.
func (p *parser) newKids() *kids {
	if len(p.slabK) == cap(p.slabK) {
		p.slabK = make([]kids, 0, p.chunkK)
		p.chunkK = min(2*p.chunkK, maxChunk)
	}
	p.slabK = p.slabK[:len(p.slabK)+1]
	return &p.slabK[len(p.slabK)-1]
}

// keepItems moves items from the stack to the slab. The result has no spare
// capacity, so that appending to it can never reach a neighbour.
func (p *parser) keepItems(from []Node) []Node {
	if len(from) == 0 {
		return nil
	}
	if cap(p.slabI)-len(p.slabI) < len(from) {
		p.slabI = make([]Node, 0, max(p.chunkI, len(from)))
		p.chunkI = min(2*p.chunkI, maxChunk)
	}
	start := len(p.slabI)
	p.slabI = append(p.slabI, from...)
	return p.slabI[start:len(p.slabI):len(p.slabI)]
}

// keepMembers does the same for members.
func (p *parser) keepMembers(from []Member) []Member {
	if len(from) == 0 {
		return nil
	}
	if cap(p.slabM)-len(p.slabM) < len(from) {
		p.slabM = make([]Member, 0, max(p.chunkM, len(from)))
		p.chunkM = min(2*p.chunkM, maxChunk)
	}
	start := len(p.slabM)
	p.slabM = append(p.slabM, from...)
	return p.slabM[start:len(p.slabM):len(p.slabM)]
}
