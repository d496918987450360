package coverage

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Verdict is what a partition's last answer was found to be.
type Verdict = market.Verdict

// The verdicts, as market explains them.
const (
	Missing       = market.VerdictMissing
	Complete      = market.VerdictComplete
	ExpectedEmpty = market.VerdictExpectedEmpty
	NotPublished  = market.VerdictNotPublished
	Incomplete    = market.VerdictIncomplete
	Empty         = market.VerdictEmpty
	AcceptedShort = market.VerdictAcceptedShort
)

// Verdicts are all of them, by their numbers in the file of targets.
var Verdicts = market.Verdicts()

// Key names a partition of the universe pool, or one symbol's day in targets.
type Key struct {
	// Dataset is its name in the catalog.
	Dataset string
	// Date is the trade date, NoDate for a snapshot.
	Date market.Date
	// Symbol is set in the targets pool, and empty for universe and snapshots.
	Symbol string
}

// Record is what a pool holds of one Key. It commits with the rows.
type Record struct {
	Key
	// Rows held. For a key of targets 0 or 1.
	Rows int64
	// ByExchange splits Rows; all zero for snapshots of funds and calendars.
	ByExchange ExchangeCounts
	// RowsHash is that of the rows held with all their values, in any order (see
	// table.Batch.Hash); 0 where none are. A file whose rows have another was written
	// to by others. The sink sets it.
	RowsHash uint64
	// Expected rows; 0 where unknown or none.
	Expected int64
	// Verdict of the last answer.
	Verdict Verdict
	// CommittedAt is when it was committed, to the millisecond.
	CommittedAt time.Time
	// Epoch of the dispatch that wrote it, Unix ms.
	Epoch int64
	// RunID on whose behalf it was written.
	RunID string
	// AnswerHash tells whether two short answers are the same. 0 when settled
	// whole.
	AnswerHash uint64
	// SameSince is the day of the first of a row of equal short answers; NoDate
	// when the answer was not short.
	SameSince market.Date
	// SameDays is on how many different days the same short answer came.
	SameDays int
	// LastSame is the last of those days.
	LastSame market.Date
	// Filtered is how many rows the rule of the pool leaves out (funds that are
	// no ETFs), Rejected how many failed a check, Unknown how many rows held
	// belong to symbols that no list knows.
	Filtered, Rejected, Unknown int64
	// New, Changed and Gone compare the last commit with what was held before.
	New, Changed, Gone int64
	// Issues are the warnings and findings of the last answer.
	Issues []fault.Issue
}

// ExchangeCounts is a number of rows or instruments per exchange.
type ExchangeCounts struct {
	// SH, SZ and BJ are the exchanges by the suffix of their symbols.
	SH, SZ, BJ int64
}

// Sum is all exchanges together.
func (c ExchangeCounts) Sum() int64 { return c.SH + c.SZ + c.BJ }

// Add counts one more symbol.
func (c *ExchangeCounts) Add(symbol string) {
	switch market.Exchange(symbol) {
	case "SH":
		c.SH++
	case "SZ":
		c.SZ++
	case "BJ":
		c.BJ++
	}
}
