// Package wire writes the numbers and texts of replies. Decimals are integers
// with a known number of places, so that nothing is rounded on the way out and
// no float is formatted. Callers provide room: every Put function writes at most
// 24 bytes at p[i:] and returns the next position.
package wire

import (
	"encoding/json"
	"math/bits"
)

// Room is the most bytes one number takes.
const Room = 24

const pairs = "0001020304050607080910111213141516171819" +
	"2021222324252627282930313233343536373839" +
	"4041424344454647484950515253545556575859" +
	"6061626364656667686970717273747576777879" +
	"8081828384858687888990919293949596979899"

var pow10 = [20]uint64{1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
	100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000, 10000000000000000,
	100000000000000000, 1000000000000000000, 10000000000000000000}

func putUint(p []byte, i int, u uint64) int {
	if u < 10 {
		p[i] = byte('0' + u)
		return i + 1
	}
	if u < 100 {
		p[i+1] = pairs[u*2+1]
		p[i] = pairs[u*2]
		return i + 2
	}
	n := (bits.Len64(u) * 1233) >> 12
	if u >= pow10[n] {
		n++
	}
	e := i + n
	for j := e; ; {
		if u >= 100 {
			q := u / 100
			r := (u - q*100) * 2
			j -= 2
			p[j+1] = pairs[r+1]
			p[j] = pairs[r]
			u = q
			continue
		}
		if u >= 10 {
			p[j-1] = pairs[u*2+1]
			p[j-2] = pairs[u*2]
		} else {
			p[j-1] = byte('0' + u)
		}
		return e
	}
}

func sign(p []byte, i int, v int64) (int, uint64) {
	if v < 0 {
		p[i] = '-'
		return i + 1, uint64(-v)
	}
	return i, uint64(v)
}

// PutInt writes a whole number.
func PutInt(p []byte, i int, v int64) int {
	i, u := sign(p, i, v)
	return putUint(p, i, u)
}

// Put2 writes v/100, without trailing zeros but always with one decimal, as the
// provider does.
func Put2(p []byte, i int, v int64) int {
	i, u := sign(p, i, v)
	q := u / 100
	r := (u - q*100) * 2
	i = putUint(p, i, q)
	p[i] = '.'
	p[i+1] = pairs[r]
	p[i+2] = pairs[r+1]
	if pairs[r+1] == '0' {
		return i + 2
	}
	return i + 3
}

// Put3 writes v/1000 in the same way.
func Put3(p []byte, i int, v int64) int {
	i, u := sign(p, i, v)
	q := u / 1000
	r := u - q*1000
	h := r / 10
	l := r - h*10
	i = putUint(p, i, q)
	p[i] = '.'
	p[i+1] = pairs[h*2]
	p[i+2] = pairs[h*2+1]
	p[i+3] = byte('0' + l)
	if l != 0 {
		return i + 4
	}
	if p[i+2] != '0' {
		return i + 3
	}
	return i + 2
}

// Put4 writes v/10000 in the same way.
func Put4(p []byte, i int, v int64) int {
	i, u := sign(p, i, v)
	q := u / 10000
	r := u - q*10000
	h := r / 100
	l := (r - h*100) * 2
	h *= 2
	i = putUint(p, i, q)
	p[i] = '.'
	p[i+1] = pairs[h]
	p[i+2] = pairs[h+1]
	p[i+3] = pairs[l]
	p[i+4] = pairs[l+1]
	switch {
	case pairs[l+1] != '0':
		return i + 5
	case pairs[l] != '0':
		return i + 4
	case pairs[h+1] != '0':
		return i + 3
	}
	return i + 2
}

// PutNull writes null.
func PutNull(p []byte, i int) int {
	return i + copy(p[i:], "null")
}

// Quote returns s as JSON text; HTML characters stay as they are.
func Quote(s string) string {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			return quoteSlow(s)
		}
	}
	return `"` + s + `"`
}

func quoteSlow(s string) string {
	var w buffer
	e := json.NewEncoder(&w)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return `""`
	}
	return string(w[:len(w)-1])
}

type buffer []byte

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }

// QuoteOrNull is Quote, and null for the empty text: the provider has no empty
// texts.
func QuoteOrNull(s string) string {
	if s == "" {
		return "null"
	}
	return Quote(s)
}
