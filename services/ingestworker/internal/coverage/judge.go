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

// acceptDays is on how many different days the same short answer must come until
// it is taken as what the provider has.
const acceptDays = 3

// A held complete answer is not replaced by one that is smaller by more than
// this share, though the floor would allow it: vendors add and correct rows and
// hardly ever take whole percents away.
const shrink = 0.99

// Answer is what was received for a partition of the universe pool or a
// snapshot, after the rows were checked.
type Answer struct {
	// Rows that passed, and their split.
	Rows       int64
	ByExchange ExchangeCounts
	// Rejected, Filtered and Unknown rows, as in Record.
	Rejected, Filtered, Unknown int64
	// Doubtful rows disagree with themselves across fields and are kept.
	Doubtful int64
	// MissingValues rows are those of them that lack a value which rows hardly ever lack.
	MissingValues int64
	// MissingCall names a part of a snapshot that came empty though it never is.
	// Empty when every part came.
	MissingCall string
	// Findings say what the values contradict; any makes the answer INCOMPLETE.
	Findings []evidence.Finding
	// Hash tells equal answers whatever the order of their rows; it is only asked
	// for when the answer is short.
	Hash func() uint64
}

// Situation is when and on top of what an answer is judged.
type Situation struct {
	// Now is the moment; its Shanghai day counts for evidence.
	Now time.Time
	// Publishing is whether the provider may still bring the date out.
	Publishing bool
	// Held is the record before this answer; HasHeld is false when there is none.
	Held    Record
	HasHeld bool
	// Epoch and RunID go into the record.
	Epoch int64
	RunID string
}

// Judgement is what happens to an answer.
type Judgement struct {
	// Found is the verdict on the answer itself.
	Found Verdict
	// Record is the coverage to commit.
	Record Record
	// Store is whether the rows replace those held.
	Store bool
	// Merge is whether the rows replace those held of the same symbols, and the other
	// rows held stay: the answer is right in what it has, and lacks rows.
	Merge bool
}

// TooManyRejected reports whether so many rows failed their checks that the
// answer cannot be called whole.
func TooManyRejected(rejected, rows int64) bool {
	return rejected > 5 && float64(rejected) > 0.01*float64(rejected+rows)
}

// Judge tells what an answer is worth. A worse answer never takes the place of a
// better one: what is held stays, and the finding becomes an issue.
func Judge(ds *catalog.Dataset, d market.Date, a Answer, e Expectation, s Situation) Judgement {
	key := Key{Dataset: ds.ID, Date: d}
	if s.HasHeld && s.Held.Verdict == Complete && e.Known && !e.Reaches(s.Held.Rows, s.Held.ByExchange) {
		s.Held.Verdict = Incomplete // whole by what was known then, and short by what is known now
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
		j.Store = false // rows are held for a day that calls for none: the lists are behind, not the rows
	case whole:
		j.Store = false // however often a short answer comes
	default:
		j.Store = a.Rows >= s.Held.Rows
	}
	if found == Incomplete && a.falsified() {
		j.Store = false // a hole is better than another day's rows
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
			issues[n].Severity = fault.Warning // it is told, and not waited for
		}
	}
	r.Issues = append(r.Issues, issues...)
	j.Record = r
	return j
}

// hollow reports whether so many rows lack values that the reply as a whole seems to
// lack a field, and what is held does not. Such an answer is worse though as long.
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

// short reports whether rows are missing by number.
func (a Answer) short(e Expectation) bool {
	return a.MissingCall != "" || a.Rows == 0 || !e.Reaches(a.Rows, a.ByExchange) || TooManyRejected(a.Rejected, a.Rows)
}

// lacksOnly reports whether nothing is wrong with the rows of an answer but that some
// are missing.
func (a Answer) lacksOnly() bool {
	return a.Rows > 0 && a.MissingCall == "" && !TooManyRejected(a.Rejected, a.Rows) &&
		!slices.ContainsFunc(a.Findings, func(f evidence.Finding) bool { return f.Reason != fault.SymbolsMissing })
}

// falsified reports whether the values are not those of the day.
func (a Answer) falsified() bool { return slices.ContainsFunc(a.Findings, evidence.Finding.False) }

// witness counts the days on which the same answer came. While the provider may still
// bring the date out, as over closed days, only the first of them counts, however often
// it is asked for: a holiday is no evidence.
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

// second marks a whole answer with doubtful rows for a second look; an answer
// that comes the same twice is what the provider has.
func (r *Record) second(hash uint64, s Situation) {
	r.AnswerHash = max(hash, 1)
	if s.HasHeld && s.Held.AnswerHash == r.AnswerHash {
		today := market.DateOf(s.Now)
		r.SameSince, r.LastSame, r.SameDays = today, today, max(1, s.Held.SameDays)
	}
}

// Unsure reports whether a settled record is to be fetched again all the same:
// rows were rejected and the answer has not been the same on three days; or rows
// disagree with themselves, or are absent without proof, and that was seen only
// once.
func (r Record) Unsure() bool {
	switch r.Verdict {
	case Complete:
		return r.Rejected > 0 && r.SameDays < acceptDays || r.AnswerHash != 0 && r.SameDays == 0
	case ExpectedEmpty:
		return r.AnswerHash != 0 && r.SameDays == 0
	}
	return false
}

// kept is the record of rows that stay because a worse answer came: r carries
// the commit and the evidence of that answer.
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
		return fault.Issue{}, false // the findings say it
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

// About names the module and domain of a dataset on an issue.
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

// incomplete is the issue of an answer that is short by number; on names dataset and date.
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

// Standing is what a record is worth today: rows that were whole against what was
// known then may be short against the lists, the days beside or that date's daily as
// they are held now, and the other way round. What was accepted short stays so, so
// asking again comes to an end.
func Standing(ds *catalog.Dataset, r Record, l *Lists, held func(Key) (Record, bool)) Verdict {
	if r.Symbol != "" || ds.Snapshot || r.Verdict != Complete && !r.onlyShort() {
		return r.Verdict
	}
	var f Facts
	switch {
	case ds.ID == catalog.FundDaily && l.Has(ds.Kind) && r.AnswerHash == 0 && r.Verdict == Complete:
		// Without neighbours, as the first day is judged: what passes for whole by
		// its neighbours alone was looked at twice and has a hash.
		f = FactsOf(ds, r.Date, l)
	case ds.ID == catalog.Daily && l.Has(ds.Kind):
		if r.confirmed() {
			return r.Verdict
		}
		f = FactsOf(ds, r.Date, l)
		f.TradedShares = TradedShares(r.Date, heldDaily(held), l.Stocks)
		// What was taken without days beside was looked at twice and has a hash.
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

// Rejudge is a record of a dataset that rests on daily with the verdict that Standing gives it
// now. Its last issue says why where that is INCOMPLETE. changed is false where the
// verdict stays.
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

// onlyShort reports whether a record lacks rows by number alone, so that a better
// measure may find it whole.
func (r Record) onlyShort() bool {
	return r.Verdict == Incomplete && r.Rows > 0 && r.Rejected == 0 && len(r.Issues) > 0 &&
		!slices.ContainsFunc(r.Issues, func(i fault.Issue) bool { return i.Reason != fault.Incomplete && i.Severity > fault.Warning })
}

// Confirm says on the record that the provider's list of suspensions explains the
// stocks without a row. The issue is the evidence: Standing reads it again.
func Confirm(ds *catalog.Dataset, d market.Date, a Answer, f Facts) fault.Issue {
	i := fault.NewIssue(fault.SuspensionsConfirmed,
		fmt.Sprintf("%s traded on %s; the provider's list of suspensions contains %d of the others.", fault.Of(a.Rows, f.Stocks.Sum(), "listed stock", "listed stocks"), d, f.Suspended.Sum()),
		"dataset", ds.ID, "trade_date", d.String(), "row_count", fmt.Sprint(a.Rows), "expected_count", fmt.Sprint(f.Stocks.Sum()), "suspended_count", fmt.Sprint(f.Suspended.Sum()))
	return About(ds, i)
}

func (r Record) confirmed() bool {
	return slices.ContainsFunc(r.Issues, func(i fault.Issue) bool { return i.Reason == fault.SuspensionsConfirmed })
}
