package coverage

import (
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/market"
)

// DailyState is the state of a symbol's `daily` on a day in the targets pool, on which other datasets
// depend.
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

// Evidence is what is known about the publication of a day on which a symbol has no row.
type Evidence int

const (
	// NoEvidence means that the response proves nothing about the day.
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
	// Refuted is the hash of a row that passed the checks but whose values cannot be those of the
	// day; 0 if there is none.
	Refuted uint64
	// Strays says that the refuted row only contradicts the row of the day before, as all the
	// rows of a symbol do whose history the provider is rewriting.
	Strays bool
	// Doubtful is the hash of a row that disagrees with itself across fields; 0
	// when it does not.
	Doubtful uint64
	// MissingValues is whether it lacks a value which rows hardly ever lack.
	MissingValues bool
	// Listed is whether the symbol was listed then; ListKnown whether that is known.
	Listed, ListKnown bool
	// Unlisted is whether no list knows the symbol though one of its kind is held.
	Unlisted bool
	// Daily matters for datasets that rest on it.
	Daily DailyState
	// Sibling is another dataset with a row of the symbol on that day, which proves that it
	// traded. Empty if there is none.
	Sibling string
	// Shared is whether the answer came to a list of symbols, which may have been cut:
	// it proves no absence.
	Shared bool
	// NotBegun is whether the day lies before the dataset's first: the provider has no
	// row of any symbol on it or before.
	NotBegun bool
	// Evidence about the day.
	Evidence Evidence
}

// KeyJudgement is what happens to one symbol's day.
type KeyJudgement struct {
	// Record is the coverage to commit.
	Record Record
	// Lost is true when a row is held that the answer no longer has, or has without
	// its values; the held one must stay.
	Lost bool
	// Take reports whether a refuted row is stored nevertheless.
	Take bool
	// Proof is what proves that a row is missing: the name of another dataset, or PreClose. Empty if
	// nothing does, or if no row is missing.
	Proof string
}

// PreClose is the proof of a missing row by the pre_close of the next row, which is
// not the close of the row before.
const PreClose = "pre_close"

// The hashes of the answers for a symbol's day without a row. An answer counts as the same
// while its hash stays.
const (
	noRow      = 1 // there was no row
	badRow     = 2 // the row failed a check
	doubtedRow = 3 // there was no row, and the next row's pre_close shows that one is missing
	notBegun   = 4 // the dataset begins later, even if other datasets have rows
)

// An absence that only pre_close speaks against is accepted when it came so on this
// many days: an ex-rights day right after a suspension looks the same.
const acceptDoubted = 2

// Doubted reports whether the record has no row, and the next row's pre_close shows that one is
// missing.
func (r Record) Doubted() bool { return r.Verdict == Incomplete && r.AnswerHash == doubtedRow }

// BeforeFirst reports whether the record's day lies before the dataset's first.
func (r Record) BeforeFirst() bool { return r.Verdict == ExpectedEmpty && r.AnswerHash == notBegun }

// Doubt is a held record without a row once another row has proved that one is
// missing.
func Doubt(held Record, proof string, s Situation) KeyJudgement {
	r := held
	r.Verdict, r.Expected, r.CommittedAt, r.Epoch, r.RunID, r.Issues = Incomplete, 1, s.Now.Truncate(time.Millisecond), max(s.Epoch, held.Epoch), s.RunID, nil
	hash := uint64(noRow)
	if proof == PreClose {
		hash = doubtedRow
	}
	s.Held, s.HasHeld = held, true
	r.witness(hash, s)
	return KeyJudgement{Record: r, Proof: proof}
}

// JudgeKey returns what a response means for one symbol and day in the targets pool.
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
		if f.MissingValues && s.HasHeld && s.Held.Rows > 0 && s.Held.AnswerHash == 0 {
			// The row held lacks nothing: it stays until this was seen on three days.
			if r.witness(f.Doubtful, s); r.SameDays < acceptDays {
				return KeyJudgement{Record: s.Held.kept(r, v), Lost: true}
			}
		} else if f.Doubtful != 0 {
			r.second(f.Doubtful, s)
		}
		return KeyJudgement{Record: r}
	case f.Refuted != 0:
		return r.refuted(f, s)
	case f.RejectedRow:
		r.Rejected = 1
	}
	proof, enough := "", acceptDays
	switch {
	case v == Incomplete && !f.RejectedRow:
		if proof = f.Sibling; proof == "" && f.Daily == DailyHeld {
			proof = catalog.Daily
		}
	case v == ExpectedEmpty && s.HasHeld && s.Held.Rows == 0 && s.Held.AnswerHash == doubtedRow:
		v, r.Verdict, proof, enough = Incomplete, Incomplete, PreClose, acceptDoubted
	}
	if v != ExpectedEmpty {
		r.Expected = 1
	}
	lost := s.HasHeld && s.Held.Rows > 0
	if f.NotBegun && !lost {
		r.witness(notBegun, s)
		return KeyJudgement{Record: r}
	}
	if v == Incomplete || v == Empty || lost {
		hash := uint64(noRow)
		switch {
		case f.RejectedRow:
			hash = badRow
		case proof == PreClose:
			hash = doubtedRow
		}
		r.witness(hash, s)
	} else if v == ExpectedEmpty && f.ListKnown == f.Listed && f.Evidence != WholeDate && f.Daily != DailyNone {
		// An answer cut short would look the same, so it is looked at twice; a list's
		// answer is no second look.
		if r.second(noRow, s); f.Shared && (!s.HasHeld || s.Held.SameDays == 0) {
			r.SameSince, r.LastSame, r.SameDays = market.NoDate, market.NoDate, 0
		}
	}
	accepted := r.SameDays >= enough
	if accepted && (v == Incomplete || v == Empty) {
		r.Verdict = AcceptedShort
	}
	if lost && !accepted {
		return KeyJudgement{Record: s.Held.kept(r, v), Lost: true, Proof: proof}
	}
	return KeyJudgement{Record: r, Proof: proof}
}

// refuted judges a row whose values cannot be those of the day. Once it came so on three days
// it is what the provider has, as a whole date of universe is, and stored as such. It takes the
// place of a row that was whole only if it strays: the provider may have rewritten that day
// before the one before it. The old values stay as revisions. A held row with the same values is
// refuted with it: it came when nothing contradicted it yet.
func (r Record) refuted(f KeyFacts, s Situation) KeyJudgement {
	r.Rejected, r.Expected = 1, 1
	r.witness(f.Refuted, s)
	held := s.HasHeld && s.Held.Rows > 0
	whole := held && s.Held.Verdict == Complete
	if whole && !f.Strays && s.Held.RowsHash == f.Refuted { // the row held is the refuted one
		s.Held.Verdict, whole = Incomplete, false
	}
	switch {
	case r.SameDays >= acceptDays && (!whole || f.Strays):
		r.Verdict, r.Rows, r.Rejected = AcceptedShort, 1, 0
		r.ByExchange.Add(r.Symbol)
		return KeyJudgement{Record: r, Take: true}
	case held:
		kept := s.Held.kept(r, r.Verdict)
		if whole && f.Strays {
			kept.Rejected = 1 // so that it is fetched again
		}
		return KeyJudgement{Record: kept, Lost: true}
	}
	return KeyJudgement{Record: r}
}

func keyVerdict(ds *catalog.Dataset, k Key, f KeyFacts, publishing bool) Verdict {
	switch {
	case f.Row:
		return Complete
	case f.RejectedRow, f.Refuted != 0:
		return Incomplete
	case f.NotBegun:
		return ExpectedEmpty
	case !ds.Covers(k.Symbol), f.ListKnown && !f.Listed && f.Sibling == "":
		return ExpectedEmpty
	case ds.RestsOnDaily && f.Daily == DailyNone && f.Sibling == "" && !f.Unlisted:
		return ExpectedEmpty
	case f.Sibling != "", ds.RestsOnDaily && f.Daily != DailyUnknown && f.Daily != DailyNone:
		// another dataset has its row, or its daily may yet get one
		if publishing && f.Evidence != WholeDate && f.Evidence != ShortDate && f.Evidence != OthersTraded {
			return NotPublished
		}
		return Incomplete
	}
	if f.Unlisted && f.Evidence != NoEvidence {
		return Empty // a symbol that is on no list may be an old code, so it is not called idle
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
