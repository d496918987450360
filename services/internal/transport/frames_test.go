package transport

import "testing"

// Buffers have the requested length, whatever buffers were released before.
func TestFramePoolKeepsLengths(t *testing.T) {
	for range 3 {
		for _, n := range []int{1, 300, pageSize, pageSize + 1, frameSize - 5, frameSize, frameSize + 1, window, window + 1} {
			b := buffers.Get(n)
			if len(*b) != n {
				t.Fatalf("a buffer for %d bytes has %d", n, len(*b))
			}
			clear(*b)
			*b = (*b)[:n/2] // as gRPC puts back the rest of a padded frame
			buffers.Put(b)
		}
	}
}
