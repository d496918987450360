package coverage

import (
	"fmt"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// acceptDays is on how many different days the same short response must come until it is
// accepted as all that the provider has.
const acceptDays = 3

// A complete response in the pool is not replaced by one that is smaller by more than this
// share, even if the floor allows it: vendors add and correct rows and rarely remove whole
// percents.
const shrink = 0.99

// Answer is the response for a partition of the universe pool or a snapshot, after the rows
// were checked.
type Answer struct {
	// Rows that passed the checks, and their number per exchange.
	Rows       int64
	ByExchange ExchangeCounts
	// Rejected, Filtered and Unknown rows, see Record.
	Rejected, Filtered, Unknown int64
	// Doubtful rows contradict themselves and are kept.
	Doubtful int64
	// MissingValues is the number of those of them without a value that rows almost always
	// have.
	MissingValues int64
	// MissingCall names a part of a snapshot that came empty although it never is. Empty if
	// every part came.
	MissingCall string
	// Findings are contradictions in the values; any makes the response INCOMPLETE.
	Findings []evidence.Finding
	// Hash is equal for equal responses in any order of their rows; it is only called if the
	// response is short.
	Hash func() uint64
}

// Situation is the time of a response and the record before it.
type Situation struct {
	// Now is the current time; its day in Shanghai counts as evidence.
	Now time.Time
	// Publishing is whether the provider may still publish the date.
	Publishing bool
	// Held is the record before this response; HasHeld is false if there is none.
	Held    Record
	HasHeld bool
	// Epoch and RunID for the record.
	Epoch int64
	RunID string
}

// Judgement is what happens with a response.
type Judgement struct {
	// Found is the verdict on the response itself.
	Found Verdict
	// Record is the coverage to commit.
	Record Record
	// Store is whether the rows replace the stored ones.
	Store bool
	// Merge is whether the rows replace the stored ones of the same symbols, and the other
	// stored rows stay: the rows of the response are right, but some are missing.
	Merge bool
}

// TooManyRejected reports whether so many rows failed their checks that the response is not
// complete.
func TooManyRejected(rejected, rows int64) bool {
	return rejected > 5 && float64(rejected) > 0.01*float64(rejected+rows)
}

// Judge returns the verdict on a response and what to store. A worse response never
// replaces a better one: the stored rows stay, and the finding becomes an issue.
func Judge(ds *catalog.Dataset, d market.Date, a Answer, e Expectation, s Situation) Judgement {
	key := Key{Dataset: ds.ID, Date: d}
	if s.HasHeld && s.Held.Verdict == Complete && e.Known && !e.Reaches(s.Held.Rows, s.Held.ByExchange) {
		s.Held.Verdict = Incomplete // complete by what was known then, short by what is known now
	}
	found := verdict(a, e, s)
	r := Record{
		Key: key, Rows: a.Rows, ByExchange: a.ByExchange, Expected: e.Expected, Verdict: found,
		CommittedAt: s.Now.Truncate(time.Millisecond), Epoch: s.Epoch, RunID: s.RunID,
		Filtered: a.Filtered, Rejected: a.Rejected, Unknown: a.Unknown, SameSince: market.NoDate, LastSame: market.NoDate,
	}
	shrunk := found == Complete && s.HasHeld && s.Held.Verdict == Complete &&
		(a.Rows < least(s.Held.Rows, shrink) || hollow(a, s.Held))
	if !found.Settled() && found != NotPublished || a.Rejected > 0 || shrunk {
		r.witness(a.Hash(), s)
	} else if found == Complete && (a.Doubtful > 0 || a.Rows < e.Doubt) {
		r.second(a.Hash(), s)
	}
	accepted := r.SameDays >= acceptDays
	whole := s.HasHeld && s.Held.Verdict == Complete && s.Held.Rows > 0
	if accepted && !whole && (found == Incomplete || found == Empty) {
		found = AcceptedShort
		r.Verdict = found
	}
	j := Judgement{Found: found, Store: true}
	switch {
	case !s.HasHeld || s.Held.Rows == 0:
	case found == Complete:
		j.Store = !shrunk || accepted
	case found == ExpectedEmpty:
		j.Store = false // rows are stored for a day that should have none: the lists are outdated, not the rows
	case whole:
		j.Store = false // however often a short response comes
	default:
		j.Store = a.Rows >= s.Held.Rows
	}
	if found == Incomplete && a.falsified() {
		j.Store = false // a gap is better than another day's rows
		if !s.HasHeld {
			r.Rows, r.ByExchange = 0, ExchangeCounts{}
		}
	}
	j.Merge = !j.Store && whole && !ds.Snapshot && (found == Incomplete || shrunk) && a.lacksOnly() && !hollow(a, s.Held)
	finding, worth := finding(ds, d, a, e, r, found, shrunk, s)
	issues := make([]fault.Issue, 0, 1+len(a.Findings))
	if worth {
		issues = append(issues, finding)
	}
	for _, f := range a.Findings {
		issues = append(issues, About(ds, f.Issue(ds.ID, d)))
	}
	if !j.Store && s.HasHeld {
		r = s.Held.kept(r, found)
		for n := range issues {
			issues[n].Severity = severityOfKept(r.Verdict, issues[n].Severity)
			switch {
			case j.Merge:
				issues[n].Message += " The stored rows that the response lacks are kept."
			case s.Held.Rows > 0:
				issues[n].Message += " The " + fault.Count(s.Held.Rows, "stored row is", "stored rows are") + " kept."
			}
		}
	}
	if accepted {
		for n := range issues {
			issues[n].Severity = fault.Warning // it is reported, and not waited for
		}
	}
	r.Issues = append(r.Issues, issues...)
	j.Record = r
	return j
}

// hollow reports whether so many rows lack values that the response seems to lack a field
// which the stored rows have. Such a response is worse although it is as long.
func hollow(a Answer, held Record) bool {
	return TooManyRejected(a.MissingValues, a.Rows-a.MissingValues) && held.AnswerHash == 0
}

func verdict(a Answer, e Expectation, s Situation) Verdict {
	switch {
	case a.MissingCall != "":
		return Incomplete
	case a.Rows == 0 && a.Rejected == 0 && e.Known && e.Expected == 0:
		return ExpectedEmpty
	case a.Rows == 0 && a.Rejected == 0 && s.Publishing:
		return NotPublished
	case a.Rows == 0 && a.Rejected == 0:
		return Empty
	case a.short(e) || len(a.Findings) > 0:
		return Incomplete
	}
	return Complete
}

// short reports whether there are too few rows.
func (a Answer) short(e Expectation) bool {
	return a.MissingCall != "" || a.Rows == 0 || !e.Reaches(a.Rows, a.ByExchange) || TooManyRejected(a.Rejected, a.Rows)
}

// lacksOnly reports whether nothing is wrong with a response except that rows are missing.
func (a Answer) lacksOnly() bool {
	return a.Rows > 0 && a.MissingCall == "" && !TooManyRejected(a.Rejected, a.Rows) &&
		!slices.ContainsFunc(a.Findings, func(f evidence.Finding) bool { return f.Reason != fault.SymbolsMissing })
}

// falsified reports whether the values are not those of the day.
func (a Answer) falsified() bool { return slices.ContainsFunc(a.Findings, evidence.Finding.False) }

// witness counts the days on which the same response came. While the provider may still
// publish the date, for example over closed days, only the first of them counts: a holiday
// is no evidence.
func (r *Record) witness(hash uint64, s Situation) {
	today := market.DateOf(s.Now)
	if hash == 0 {
		hash = 1 // 0 means "not short"
	}
	r.AnswerHash, r.SameSince, r.LastSame, r.SameDays = hash, today, today, 1
	if !s.HasHeld || s.Held.AnswerHash != hash || s.Held.SameDays == 0 {
		return
	}
	r.SameSince, r.SameDays = s.Held.SameSince, s.Held.SameDays
	switch {
	case s.Publishing:
		r.LastSame = s.Held.LastSame
	case s.Held.LastSame != today:
		r.SameDays++
	}
}

// second marks a complete response with doubtful rows to be fetched once more; if it is the
// same twice, it is what the provider has. One that differs each time, because the provider
// changes other values each day, is fetched again until the third day.
func (r *Record) second(hash uint64, s Situation) {
	today := market.DateOf(s.Now)
	r.AnswerHash, r.SameSince = max(hash, 1), today
	if !s.HasHeld || s.Held.AnswerHash == 0 {
		return
	}
	same := s.Held.AnswerHash == r.AnswerHash
	if !same && s.Held.SameDays == 0 && s.Held.SameSince != market.NoDate {
		r.SameSince = s.Held.SameSince
		same = today >= r.SameSince+acceptDays-1
	}
	if same {
		r.SameSince, r.LastSame, r.SameDays = today, today, max(1, s.Held.SameDays)
	}
}

// Unsure reports whether a settled record is fetched again: rows were rejected and the
// response has not been the same on three days; or rows contradict themselves, or are
// absent without proof, and that was seen only once.
func (r Record) Unsure() bool {
	switch r.Verdict {
	case Complete:
		return r.Rejected > 0 && r.SameDays < acceptDays || r.AnswerHash != 0 && r.SameDays == 0
	case ExpectedEmpty:
		return r.AnswerHash != 0 && r.SameDays == 0
	}
	return false
}

// kept is the record of rows that stay because a worse response came: r has the commit and
// the evidence of that response.
func (held Record) kept(r Record, found Verdict) Record {
	out := held
	out.CommittedAt, out.Epoch, out.RunID = r.CommittedAt, r.Epoch, r.RunID
	out.AnswerHash, out.SameSince, out.LastSame, out.SameDays = r.AnswerHash, r.SameSince, r.LastSame, r.SameDays
	out.New, out.Changed, out.Gone = 0, 0, 0
	out.Issues = nil
	if !held.Verdict.Settled() && found == AcceptedShort {
		out.Verdict = AcceptedShort
	}
	return out
}

func severityOfKept(v Verdict, s fault.Severity) fault.Severity {
	if v.Settled() {
		return fault.Warning // nothing is missing because of it
	}
	return s
}

func finding(ds *catalog.Dataset, d market.Date, a Answer, e Expectation, r Record, found Verdict, shrunk bool, s Situation) (fault.Issue, bool) {
	on := ds.ID
	if d != market.NoDate {
		on += " of " + d.String()
	}
	var i fault.Issue
	switch {
	case found == NotPublished:
		due := DueAt(ds, d).Format("15:04")
		i = fault.NewIssue(fault.NotPublished,
			fmt.Sprintf("The provider has not published %s yet; it is due at %s in Shanghai.", on, due),
			"dataset", ds.ID, "trade_date", d.String(), "due_time", due)
	case found == Empty:
		i = fault.NewIssue(fault.EmptyAnswer,
			fmt.Sprintf("The provider returned no rows for %s%s.", on, called(e)),
			"dataset", ds.ID, "trade_date", d.String(), "expected_count", fmt.Sprint(e.Expected))
	case found == AcceptedShort:
		i = fault.NewIssue(fault.AcceptedShort,
			fmt.Sprintf("The provider returned the same %[2]d rows for %[1]s on %[3]d days since %[4]s; %[5]s expected from %[6]s. The response is accepted.", on, a.Rows, r.SameDays, r.SameSince, expected(e), e.Basis),
			"dataset", ds.ID, "trade_date", d.String(), "row_count", fmt.Sprint(a.Rows), "expected_count", fmt.Sprint(e.Expected), "days", fmt.Sprint(r.SameDays))
	case found == Incomplete && !a.short(e) && len(a.Findings) > 0:
		return fault.Issue{}, false // the findings say so
	case found == Incomplete:
		i = incomplete(ds, on, d, a, e)
	case shrunk && r.SameDays < acceptDays:
		i = fault.NewIssue(fault.Incomplete,
			shrunkText(on, a, s.Held),
			"dataset", ds.ID, "trade_date", d.String(), "row_count", fmt.Sprint(a.Rows), "expected_count", fmt.Sprint(s.Held.Rows), "floor", fmt.Sprint(shrink))
	default:
		return fault.Issue{}, false
	}
	return About(ds, i), true
}

func shrunkText(on string, a Answer, held Record) string {
	if hollow(a, held) {
		return fmt.Sprintf("The provider returned %s with %s that %s a value; the stored rows lack none.", on,
			fault.Of(a.MissingValues, a.Rows, "row", "rows"), fault.One(a.MissingValues, "lacks", "lack"))
	}
	return fmt.Sprintf("The provider returned %s with %s; %s stored.", on, fault.Count(a.Rows, "row", "rows"), fault.Count(held.Rows, "is", "are"))
}

// About adds the module and domain of a dataset to an issue.
func About(ds *catalog.Dataset, i fault.Issue) fault.Issue {
	i.Module = ds.Module
	if m := catalog.LookupModule(ds.Module); m != nil {
		i.Domain = m.Domain
	}
	return i
}

func expected(e Expectation) string {
	if !e.Known {
		return "some were"
	}
	return fault.Count(e.Expected, "was", "were")
}

func called(e Expectation) string {
	if !e.Known {
		return ", which is never empty"
	}
	return fmt.Sprintf("; %s expected from %s", expected(e), e.Basis)
}

// incomplete is the issue of a response with too few rows; on names dataset and date.
func incomplete(ds *catalog.Dataset, on string, d market.Date, a Answer, e Expectation) fault.Issue {
	return fault.NewIssue(fault.Incomplete, short(on, a, e),
		"dataset", ds.ID, "trade_date", d.String(), "row_count", fmt.Sprint(a.Rows), "expected_count", fmt.Sprint(e.Expected), "floor", fmt.Sprint(e.Floor))
}

func short(on string, a Answer, e Expectation) string {
	switch {
	case a.MissingCall != "":
		return fmt.Sprintf("The provider returned %s without any row for %s, which is never empty.", on, a.MissingCall)
	case TooManyRejected(a.Rejected, a.Rows):
		return fmt.Sprintf("%s of %s failed a check.", fault.Of(a.Rejected, a.Rejected+a.Rows, "row", "rows"), on)
	case a.Rows < e.Least || !e.Known:
		return fmt.Sprintf("The provider returned %s with %s; %s expected from %s, and at least %s required.", on,
			fault.Count(a.Rows, "row", "rows"), expected(e), e.Basis, fault.Count(e.Least, "is", "are"))
	}
	return fmt.Sprintf("The provider returned %s with SH %d, SZ %d, BJ %d rows; from %s, at least SH %d, SZ %d, BJ %d are required.", on,
		a.ByExchange.SH, a.ByExchange.SZ, a.ByExchange.BJ, e.Basis, e.LeastBy.SH, e.LeastBy.SZ, e.LeastBy.BJ)
}

// Standing is the verdict on a record today: rows that were complete by what was known then
// may be short by the current lists, neighbouring days or daily of the date, and vice
// versa. An accepted short record stays accepted, so that fetching ends.
func Standing(ds *catalog.Dataset, r Record, l *Lists, held func(Key) (Record, bool)) Verdict {
	if r.Symbol != "" || ds.Snapshot || r.Verdict != Complete && !r.onlyShort() {
		return r.Verdict
	}
	var f Facts
	switch {
	case ds.ID == catalog.FundDaily && l.Has(ds.Kind) && r.AnswerHash == 0 && r.Verdict == Complete:
		// Without neighbours, as the first day is judged: a record that is complete only by its
		// neighbours was fetched twice and has a hash.
		f = FactsOf(ds, r.Date, l)
	case ds.ID == catalog.Daily && l.Has(ds.Kind):
		if r.confirmed() {
			return r.Verdict
		}
		f = FactsOf(ds, r.Date, l)
		f.TradedShares = TradedShares(r.Date, heldDaily(held), l.Stocks)
		// A record that was accepted without neighbouring days was fetched twice and has a hash.
		f.Scattered = r.Verdict == Complete && r.AnswerHash != 0
	case ds.RestsOnDaily:
		daily, ok := held(Key{Dataset: catalog.Daily, Date: r.Date})
		if !ok || !daily.Verdict.Settled() {
			return r.Verdict
		}
		f = Facts{DailyKnown: true, Daily: daily.ByExchange}
	default:
		return r.Verdict
	}
	if !Expect(ds, r.Date, f).Reaches(r.Rows, r.ByExchange) {
		return Incomplete
	}
	return Complete
}

// Rejudge is a record of a dataset that depends on daily with the verdict of Standing. If
// that is INCOMPLETE, its last issue says why. changed is false if the verdict is the same.
func Rejudge(ds *catalog.Dataset, r Record, l *Lists, held func(Key) (Record, bool)) (out Record, changed bool) {
	v := Standing(ds, r, l, held)
	if v == r.Verdict {
		return r, false
	}
	out = r
	out.Verdict, out.Issues = v, nil
	if v == Complete {
		out.AnswerHash, out.SameSince, out.LastSame, out.SameDays = 0, market.NoDate, market.NoDate, 0
		for _, i := range r.Issues {
			if i.Reason != fault.Incomplete {
				out.Issues = append(out.Issues, i)
			}
		}
		return out, true
	}
	daily, _ := held(Key{Dataset: catalog.Daily, Date: r.Date})
	e := Expect(ds, r.Date, Facts{DailyKnown: true, Daily: daily.ByExchange})
	out.Expected = e.Expected
	out.Issues = append(slices.Clone(r.Issues),
		About(ds, incomplete(ds, ds.ID+" of "+r.Date.String(), r.Date, Answer{Rows: r.Rows, ByExchange: r.ByExchange}, e)))
	return out, true
}

func heldDaily(held func(Key) (Record, bool)) func(market.Date) (Record, bool) {
	return func(d market.Date) (Record, bool) { return held(Key{Dataset: catalog.Daily, Date: d}) }
}

// onlyShort reports whether a record only has too few rows, so that by a better measure it
// may be complete.
func (r Record) onlyShort() bool {
	return r.Verdict == Incomplete && r.Rows > 0 && r.Rejected == 0 && len(r.Issues) > 0 &&
		!slices.ContainsFunc(r.Issues, func(i fault.Issue) bool { return i.Reason != fault.Incomplete && i.Severity > fault.Warning })
}

// Confirm is the issue that the provider's list of suspensions explains the stocks without
// a row. The issue is the evidence: Standing reads it again.
func Confirm(ds *catalog.Dataset, d market.Date, a Answer, f Facts) fault.Issue {
	i := fault.NewIssue(fault.SuspensionsConfirmed,
		fmt.Sprintf("%s traded on %s; the provider's list of suspensions contains %d of the others.", fault.Of(a.Rows, f.Stocks.Sum(), "listed stock", "listed stocks"), d, f.Suspended.Sum()),
		"dataset", ds.ID, "trade_date", d.String(), "row_count", fmt.Sprint(a.Rows), "expected_count", fmt.Sprint(f.Stocks.Sum()), "suspended_count", fmt.Sprint(f.Suspended.Sum()))
	return About(ds, i)
}

func (r Record) confirmed() bool {
	return slices.ContainsFunc(r.Issues, func(i fault.Issue) bool { return i.Reason == fault.SuspensionsConfirmed })
}
