package coverage

import (
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/market"
)

// DailyState is what the targets pool holds of a symbol's `daily` on a day, on
// which daily_basic and moneyflow rest.
type DailyState int

const (
	// DailyUnknown is when nothing was ever committed, as with the module off.
	DailyUnknown DailyState = iota
	// DailyHeld is when its row is held.
	DailyHeld
	// DailyNone is when it is settled that there is no row.
	DailyNone
	// DailyPending is when it is still being asked for.
	DailyPending
)

// Evidence is what else tells whether a day was published when a symbol has no
// row on it.
type Evidence int

const (
	// NoEvidence is an answer that tells nothing about the day.
	NoEvidence Evidence = iota
	// OthersTraded is when other symbols of the dataset have rows on the day.
	OthersTraded
	// TradedLater is when the symbol, or another of the dataset, has a row on a
	// later day, so that the provider has gone past this one.
	TradedLater
	// WholeDate is when the whole trade date was fetched and has enough rows.
	WholeDate
	// ShortDate is when it was fetched and has too few.
	ShortDate
	// EmptyDate is when it was fetched and has none.
	EmptyDate
)

// KeyFacts is what is known of one symbol on one day when an answer about it has
// come.
type KeyFacts struct {
	// Row is whether the answer has a row that passed its checks, RejectedRow
	// whether it has one that did not.
	Row, RejectedRow bool
	// Doubtful is the hash of a row that disagrees with itself across fields; 0
	// when it does not.
	Doubtful uint64
	// Hollow is whether it lacks a value which rows hardly ever lack.
	Hollow bool
	// Listed is whether the symbol was listed then; ListKnown whether that is known.
	Listed, ListKnown bool
	// Daily matters for daily_basic and moneyflow.
	Daily DailyState
	// Evidence about the day.
	Evidence Evidence
}

// KeyJudgement is what becomes of one symbol's day.
type KeyJudgement struct {
	// Record is the coverage to commit.
	Record Record
	// Lost is true when a row is held that the answer no longer has, or has without
	// its values; the held one must stay.
	Lost bool
}

// JudgeKey tells what an answer means for one symbol's day in the targets pool.
func JudgeKey(ds *catalog.Dataset, k Key, f KeyFacts, s Situation) KeyJudgement {
	v := keyVerdict(ds, k, f, s.Publishing)
	r := Record{
		Key: k, Verdict: v, CommittedAt: s.Now.Truncate(time.Millisecond), Epoch: s.Epoch, RunID: s.RunID,
		SameSince: market.NoDate, LastSame: market.NoDate,
	}
	switch {
	case f.Row:
		r.Rows, r.Expected = 1, 1
		r.ByExchange.Add(k.Symbol)
		if f.Hollow && s.HasHeld && s.Held.Rows > 0 && s.Held.AnswerHash == 0 {
			// The row held lacks nothing: it stays until this was seen on three days.
			if r.witness(f.Doubtful, s); r.SameDays < acceptDays {
				return KeyJudgement{Record: s.Held.kept(r, v), Lost: true}
			}
		} else if f.Doubtful != 0 {
			r.second(f.Doubtful, s)
		}
		return KeyJudgement{Record: r}
	case f.RejectedRow:
		r.Rejected = 1
	}
	if v != ExpectedEmpty {
		r.Expected = 1
	}
	lost := s.HasHeld && s.Held.Rows > 0
	if v == Incomplete || v == Empty || lost {
		hash := uint64(1) // there is one way to have no row,
		if f.RejectedRow {
			hash = 2 // and another to have a bad one
		}
		r.witness(hash, s)
	} else if v == ExpectedEmpty && f.ListKnown == f.Listed && f.Evidence != WholeDate && f.Daily != DailyNone {
		r.second(1, s) // an answer cut short would look the same, so it is looked at twice
	}
	accepted := r.SameDays >= acceptDays
	if accepted && (v == Incomplete || v == Empty) {
		r.Verdict = AcceptedShort
	}
	if lost && !accepted {
		return KeyJudgement{Record: s.Held.kept(r, v), Lost: true}
	}
	return KeyJudgement{Record: r}
}

func keyVerdict(ds *catalog.Dataset, k Key, f KeyFacts, publishing bool) Verdict {
	onDaily := ds.ID == catalog.DailyBasic || ds.ID == catalog.Moneyflow
	switch {
	case f.Row:
		return Complete
	case f.RejectedRow:
		return Incomplete
	case ds.ID == catalog.Moneyflow && market.Exchange(k.Symbol) == "BJ", f.ListKnown && !f.Listed:
		return ExpectedEmpty
	case onDaily && f.Daily == DailyNone:
		return ExpectedEmpty
	case onDaily && f.Daily != DailyUnknown:
		// its daily has a row, or may yet get one
		if publishing && f.Evidence != WholeDate && f.Evidence != ShortDate && f.Evidence != OthersTraded {
			return NotPublished
		}
		return Incomplete
	}
	switch f.Evidence {
	case WholeDate:
		return ExpectedEmpty // suspended or idle: the day is out, and it has no row
	case ShortDate:
		return Incomplete
	case OthersTraded, TradedLater:
		if publishing {
			return Incomplete
		}
		return ExpectedEmpty
	}
	if publishing {
		return NotPublished
	}
	return Empty
}

// worse orders verdicts so that the verdict of a group is its worst.
var worse = map[Verdict]int{
	ExpectedEmpty: 0, Complete: 1, AcceptedShort: 2, NotPublished: 3, Incomplete: 4, Empty: 5, Missing: 6,
}

// Worst is the worst of the verdicts: one that is not settled before one that
// is. It is ExpectedEmpty for none.
func Worst(vs ...Verdict) Verdict {
	out := ExpectedEmpty
	for _, v := range vs {
		if worse[v] > worse[out] {
			out = v
		}
	}
	return out
}
