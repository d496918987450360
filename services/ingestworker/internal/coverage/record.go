package coverage

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Verdict is the result of judging a partition's last response.
type Verdict = market.Verdict

// The verdicts, see package market.
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

// Key names a partition of the universe pool, or one symbol and day in targets.
type Key struct {
	// Dataset is its name in the catalog.
	Dataset string
	// Date is the trade date, NoDate for a snapshot.
	Date market.Date
	// Symbol is set in targets, and empty for universe and snapshots.
	Symbol string
}

// Record is the coverage of one Key. It is committed with the rows.
type Record struct {
	Key
	// Rows stored. For a key of targets 0 or 1.
	Rows int64
	// ByExchange are the Rows per exchange; all zero for snapshots of funds and calendars.
	ByExchange ExchangeCounts
	// RowsHash is the hash of the stored rows with all their values, in any order (see
	// table.Batch.Hash); 0 if there are none. If the rows of a file have a different hash,
	// another program has written to it. The sink sets it.
	RowsHash uint64
	// Expected rows; 0 if unknown or none.
	Expected int64
	// Verdict of the last response.
	Verdict Verdict
	// CommittedAt is when it was committed, to the millisecond.
	CommittedAt time.Time
	// Epoch of the dispatch that wrote it, Unix ms.
	Epoch int64
	// RunID of the run that wrote it.
	RunID string
	// AnswerHash shows whether two short responses are equal. 0 if settled as complete.
	AnswerHash uint64
	// SameSince is the day of the first of a series of equal short responses; NoDate if the
	// response was not short.
	SameSince market.Date
	// SameDays is on how many different days the same short response came.
	SameDays int
	// LastSame is the last of those days.
	LastSame market.Date
	// Filtered is how many rows the pool leaves out by rule (funds that are not ETFs),
	// Rejected how many failed a check, Unknown how many stored rows have symbols that no list
	// has.
	Filtered, Rejected, Unknown int64
	// New, Changed and Gone compare the last commit with the rows stored before.
	New, Changed, Gone int64
	// Issues are the warnings and findings of the last response.
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
