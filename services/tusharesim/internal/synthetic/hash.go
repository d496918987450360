package synthetic

import "math/bits"

const (
	saltDay   uint64 = 0x9e3779b97f4a7c15
	saltSlow  uint64 = 0x3c6ef372fe94f82b
	saltFast  uint64 = 0xdaa66d2c7ddf743f
	saltHalt  uint64 = 0x78dde6e5fd29f054
	saltIdle  uint64 = 0x1715609f7c746c69
	saltYear  uint64 = 0xb54cda58fbbee87f
	saltFlow  uint64 = 0x538454127b096493
	saltPart  uint64 = 0x2545f4914f6cdd1d
	saltOrder uint64 = 0xf1bbcdcbfa53e0a9
)

// hash returns 64 pseudo-random bits for a key and a position. All random choices of the package
// use it.
func hash(key uint64, n int64, salt uint64) uint64 {
	x := (uint64(n)+1)*0xd6e8feb86659fd93 ^ salt
	hi, lo := bits.Mul64(key^0xa0761d6478bd642f, x^(x>>29)^0xe7037ed1a0b428db)
	y := hi ^ lo
	y ^= y >> 32
	y *= 0x9fb21c651e98df25
	return y ^ y>>29
}

// unit returns 10 bits of h from shift on, as 0..1023.
func unit(h uint64, shift uint) int64 { return int64(h >> shift & 1023) }

// half returns n/d, rounded half away from zero; d is positive.
func half(n, d int64) int64 {
	if n < 0 {
		return -((-n + d/2) / d)
	}
	return (n + d/2) / d
}
