package tushare

import "fmt"

// maxOffset is the last offset that the provider answers; it refuses the next.
const maxOffset = 100000

// pager decides after each reply whether to ask for another, and from where.
// Truncation is silent at this provider: has_more tells, or a reply that is
// exactly as long as some cap.
type pager struct {
	offset  int // rows received so far
	largest int // rows of the largest reply
	limit   int // what the last call was limited to; 0 for no limit
}

// next takes the length of a reply, how many of its rows were not held before,
// and its has_more. cap tells whether a length is a known cap. more says that
// another call at p.offset with p.limit is due.
func (p *pager) next(received, fresh int, hasMore bool, isCap func(int) bool) (more bool, err error) {
	if fresh == 0 {
		if hasMore {
			return false, fmt.Errorf("it announces more rows, but the response at offset %d has no new row", p.offset)
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
