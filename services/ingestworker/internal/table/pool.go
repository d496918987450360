package table

import "sync"

// Pool keeps the memory of released batches for later ones with the same columns. A fill
// needs a megabyte for each partition; allocating it each time takes a tenth of the CPU
// time. The zero value is an empty pool. It is safe for concurrent use.
type Pool struct{ free sync.Pool }

// capacityStep is the unit, in rows, to which capacities are rounded up, because the next
// date may have a few more rows.
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

// Release returns the memory of a batch to its Pool. The caller must have the only
// reference to the batch and to its columns. Afterwards the batch has no columns, so that a
// later use fails instead of reading the rows of another batch. If the batch has no Pool,
// Release does nothing.
func (b *Batch) Release() {
	if b.home == nil {
		return
	}
	kept := *b
	*b = Batch{}
	kept.home.free.Put(&kept)
}
