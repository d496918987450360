package table

import "sync"

// Pool keeps the memory of released batches for later ones with the same columns. A fill
// makes and drops a megabyte for each partition, which otherwise is a tenth of its CPU
// time. The zero value is empty. It may be used by many goroutines.
type Pool struct{ free sync.Pool }

// capacityStep is what capacities are a multiple of: the next date may have some rows more.
const capacityStep = 512

// New returns an empty batch with capacity for size rows. All batches of a Pool must have
// the same specs.
func (p *Pool) New(specs []Spec, size int) *Batch {
	if b, ok := p.free.Get().(*Batch); ok && cap(b.Columns[0].Null) >= size {
		b.Truncate()
		return b
	}
	b := New(specs, (size+capacityStep-1)/capacityStep*capacityStep)
	b.home = p
	return b
}

// Release gives the memory of a batch back to its Pool. The caller must hold the only
// reference to the batch and to its columns. The batch has no columns afterwards, so that
// a later use fails instead of reading the rows of another. Without a Pool it does nothing.
func (b *Batch) Release() {
	if b.home == nil {
		return
	}
	kept := *b
	*b = Batch{}
	kept.home.free.Put(&kept)
}
