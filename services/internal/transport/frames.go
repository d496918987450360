package transport

import (
	"sync"

	"google.golang.org/grpc/mem"
)

// Lengths of buffers, in bytes, between which gRPC's own pool has none.
const (
	pageSize = 4 << 10
	// frameSize is the largest HTTP/2 frame that gRPC sends. Rows come in such frames.
	frameSize = 16 << 10
)

// framePool is gRPC's own pool of buffers, except that buffers for frames are not cleared
// before gRPC overwrites them.
type framePool struct {
	mem.BufferPool
	frames *sync.Pool
}

// buffers is the pool of all servers and clients.
var buffers = framePool{mem.DefaultBufferPool(), &sync.Pool{New: func() any { b := make([]byte, frameSize); return &b }}}

// Get implements mem.BufferPool.
func (p framePool) Get(n int) *[]byte {
	if n <= pageSize || n > frameSize {
		return p.BufferPool.Get(n)
	}
	b, _ := p.frames.Get().(*[]byte)
	*b = (*b)[:n]
	return b
}

// Put implements mem.BufferPool.
func (p framePool) Put(b *[]byte) {
	if cap(*b) == frameSize {
		p.frames.Put(b)
		return
	}
	p.BufferPool.Put(b)
}
