package tushare

import "fmt"

// maxOffset is the largest offset that the provider accepts.
const maxOffset = 100000

// pager decides after each response whether to fetch another page, and from which offset.
// The provider truncates silently: only has_more, or a response with exactly as many rows
// as a cap, shows it.
type pager struct {
	offset  int // rows received so far
	largest int // rows of the largest response
	limit   int // limit of the last call, in rows; 0 for none
}

// next takes the number of rows of a response, how many of them are new, and its has_more.
// cap reports whether a number is a known cap. more means that another call at p.offset
// with p.limit is needed.
func (p *pager) next(received, fresh int, hasMore bool, isCap func(int) bool) (more bool, err error) {
	if fresh == 0 {
		if hasMore {
			return false, fmt.Errorf("has_more is true, but the response at offset %d has no new row", p.offset)
		}
		return false, nil
	}
	full := received == p.limit || received%1000 == 0 || isCap(received)
	p.offset += received
	p.largest = max(p.largest, received)
	p.limit = p.largest // an offset without a limit is not documented
	if !hasMore && !full {
		return false, nil
	}
	if p.offset > maxOffset {
		return false, errTooFar
	}
	return true, nil
}

var errTooFar = fmt.Errorf("there are rows after offset %d, and the provider does not return them", maxOffset)
