package reader

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/gate"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Format of rows.
type Format int

// The formats of streams.
const (
	Arrow Format = iota
	CSV
	NDJSON
)

const (
	// sliceRows is about how many rows one query loads into memory. firstRows is that of the
	// first query, so that a client gets rows early; each further one loads up to twice as
	// many as the previous one.
	sliceRows = 48 << 10
	firstRows = 12 << 10
	// batchBytes is about the size of a message with rows: including overhead it is below 1
	// MiB, up to which gRPC has buffers.
	batchBytes = 15 << 16
	// readAhead is how many responses may read the next slice while they send one; others read
	// after they have sent, so that many readers do not all use memory.
	readAhead = 4
	// maxTold is how many conditions and broken links a response lists.
	maxTold = 1000
	// maxNamed is how many partitions an error names.
	maxNamed = 50
)

// Config is the configuration of a Service.
type Config struct {
	// Stores are the published copies of the pools.
	Stores map[market.Pool]*publish.Store
	// Dir is the directory for Parquet files of queries; it is emptied.
	Dir string
	// DirBytes is how many bytes of them are kept; the default is 1 GiB.
	DirBytes int64
	// WindowDays is how many calendar days back each pool reaches: missing data before that is
	// not fetched automatically. A pool without one reaches back to its first day.
	WindowDays map[market.Pool]int
	// Gate admits queries; nil means one that knows no runs.
	Gate *gate.Gate
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Service reads published versions. Safe for concurrent use.
type Service struct {
	cfg   Config
	ahead chan struct{} // of responses that read ahead
	files files
}

// New returns a Service.
func New(c Config) (*Service, error) {
	if c.DirBytes == 0 {
		c.DirBytes = 1 << 30
	}
	if c.Gate == nil {
		c.Gate = gate.New()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{cfg: c, ahead: make(chan struct{}, readAhead)}
	return s, s.files.init(c.Dir, c.DirBytes)
}

// Answer is the response to a query, not read yet. Close releases its version.
type Answer struct {
	// Version that is read.
	Version *publish.Version
	// Columns of the response.
	Columns []catalog.Column
	// Complete is whether every requested date and symbol is complete.
	Complete bool
	// Lacks are the incomplete ones, at most 1,000; LackCount is the number of all.
	Lacks     []Condition
	LackCount int
	// Broken are the links over which prices could not be adjusted, at most 1,000; BrokenCount
	// is the number of all.
	Broken      []BrokenLink
	BrokenCount int

	service *Service
	plan    *plan
	facts   *facts
	factors factors
	release func()
}

// Close releases the version.
func (a *Answer) Close() { a.release() }

func (s *Service) store(p market.Pool) (*publish.Store, error) {
	if st, ok := s.cfg.Stores[p]; ok {
		return st, nil
	}
	return nil, fault.Invalid("pool", "%.40q cannot be read", string(p))
}

// Open validates a query and determines the metadata of its response. NOT_FOUND if the
// table or the version does not exist, DATA_INCOMPLETE if complete data is required and
// some is missing. The caller closes the answer.
func (s *Service) Open(ctx context.Context, q Query) (_ *Answer, err error) {
	p, err := check(q)
	if err == nil {
		err = begun(p, s.cfg.Now())
	}
	if err != nil {
		return nil, err
	}
	st, err := s.store(q.Pool)
	if err != nil {
		return nil, err
	}
	v, release, err := st.Acquire(ctx, q.Version)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			release()
		}
	}()
	a := &Answer{Version: v, Columns: p.columns, service: s, plan: p, release: release}
	var conditions []Condition
	if a.facts, conditions, err = s.conditions(ctx, v, p); err != nil {
		return nil, err
	}
	// Symbols first: of many, the first ones are listed, and no run fixes these.
	lacks := slices.Concat(a.facts.unknown(p.Symbols), slices.DeleteFunc(conditions, func(c Condition) bool { return c.State == Available }))
	a.Complete, a.LackCount, a.Lacks = len(lacks) == 0, len(lacks), lacks[:min(len(lacks), maxTold)]
	if q.Complete && !a.Complete {
		return nil, a.incomplete(lacks)
	}
	if q.Adjust != None {
		if err := a.adjust(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// requestCost is about the cost of a request without its rows, in both services.
const requestCost = time.Millisecond

// conditions are the conditions of a query's datasets in a version, and the facts of the
// version.
func (s *Service) conditions(ctx context.Context, v *publish.Version, p *plan) (*facts, []Condition, error) {
	pass, err := s.cfg.Gate.Enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer pass.Leave()
	pass.Charge(requestCost)
	f, err := factsOf(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	out, err := f.conditions(p.Pool, p.table.Name, p.datasets(), p.Start, p.End, p.Symbols, s.cfg)
	return f, out, err
}

// incomplete is the error for a request that requires complete rows. Its remedy is the one
// that fits: for data that no run fetches automatically, the command that does.
func (a *Answer) incomplete(lacks []Condition) error {
	names := make([]string, 0, maxNamed)
	for _, c := range a.Lacks[:min(len(a.Lacks), maxNamed)] {
		names = append(names, c.String())
	}
	unlisted := a.facts.unlisted(a.plan)
	again := slices.ContainsFunc(lacks, func(c Condition) bool { return c.AskedAgain })
	var unknown []string
	var dates []market.Date
	settled := true
	for _, c := range lacks {
		if c.Symbol != "" {
			unknown = append(unknown, c.Symbol)
		}
		if c.Date != market.NoDate {
			dates, settled = append(dates, c.Date), settled && c.Verdict.Settled()
		}
	}
	err := fault.New(fault.DataIncomplete, fmt.Sprintf("%d of the requested partitions and symbols of %s are not complete: %s.", a.LackCount, a.plan.table.Name, firstOf(names, a.LackCount)),
		"pool", string(a.plan.Pool), "table", a.plan.table.Name, "version", a.Version.Manifest.Version,
		"count", strconv.Itoa(a.LackCount), "partitions", strings.Join(names, ","))
	switch {
	case len(unknown) > 0:
		again = false // no fetch can complete it
		err.Message += fmt.Sprintf(" No instrument list of this version has %s, so no run fetches it.", firstOf(unknown, len(unknown)))
		err.Remedy = fmt.Sprintf(`Correct the symbol, or omit require to get the rows that exist. This searches the instruments: curl "localhost:7780/v1/instruments?query=%s"`, unknown[0])
	case len(unlisted) > 0:
		err.Message += fmt.Sprintf(" "+neverFetched, firstOf(unlisted, len(unlisted)))
		err.Remedy = fmt.Sprintf(`If the list does not have it, add it, and repeat the request after the next run: curl -X POST localhost:7780/v1/targets/sets/default:add -d '{"symbols":["%s"]}'`, strings.Join(unlisted[:min(len(unlisted), maxNamed)], `","`))
	case !again && len(dates) > 0 && settled:
		err.Message += " They were accepted as they are, so only re-checks of old dates fetch them again."
		err.Remedy = "Omit require to get the rows that exist, or fetch the dates once more: " + a.fetch(dates, true)
	case !again && len(dates) > 0:
		err.Message += " They are before the pool's window, so no scheduled run fetches them."
		err.Remedy = "Fetch the dates, and repeat the request when the run has ended: " + a.fetch(dates, false)
	}
	err.Meta["fetched_again"] = strconv.FormatBool(again)
	return err
}

// fetch is the command that fetches the dates, including settled ones with refetch.
func (a *Answer) fetch(dates []market.Date, refetch bool) string {
	more := ""
	if refetch {
		more = `,"refetch":true`
	}
	return fmt.Sprintf(`curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_%s"],"start_date":"%s","end_date":"%s"%s}'`,
		strings.ToUpper(string(a.plan.Pool)), slices.Min(dates), slices.Max(dates), more)
}

// firstOf lists the first few of so many.
func firstOf(names []string, count int) string {
	const few = 5
	text := strings.Join(names[:min(len(names), few)], ", ")
	if count > few {
		text += " and more"
	}
	return text
}

// Metadata is the metadata in Arrow and Parquet files.
func (a *Answer) Metadata() map[string]string {
	m := a.Version.Manifest
	meta := map[string]string{
		"afterbell.pool": string(m.Pool), "afterbell.table": a.plan.table.Name, "afterbell.version": m.Version, "afterbell.run_id": m.RunID,
		"afterbell.published_at": m.PublishedAt.Format(time.RFC3339), "afterbell.source": m.Source,
		"afterbell.complete": strconv.FormatBool(a.Complete), "afterbell.lack_count": strconv.Itoa(a.LackCount),
	}
	units := map[string]string{}
	for _, c := range a.Columns {
		if u := c.Unit(); u != "" {
			units[c.Stored] = u
		}
	}
	meta["afterbell.units"] = jsonText(units)
	lacks := make([]map[string]any, 0, len(a.Lacks))
	for _, c := range a.Lacks {
		lacks = append(lacks, map[string]any{"partition": c.String(), "state": c.State.String(), "rows": c.Rows, "expected": c.Expected})
	}
	meta["afterbell.lacks"] = jsonText(lacks)
	if a.plan.Adjust != None {
		meta["afterbell.adjust"] = a.plan.Adjust.String()
		links := make([]map[string]any, 0, len(a.Broken))
		for _, b := range a.Broken {
			links = append(links, map[string]any{"symbol": b.Symbol, "from": b.From.String(), "to": b.To.String(), "problem": b.Problem})
		}
		meta["afterbell.broken_links"] = jsonText(links)
		meta["afterbell.broken_link_count"] = strconv.Itoa(a.BrokenCount)
	}
	return meta
}

// String is the state in lower case.
func (s State) String() string {
	return map[State]string{Available: "available", Short: "short", Pending: "pending", Missing: "missing"}[s]
}

// String is the adjustment in lower case.
func (a Adjustment) String() string {
	return map[Adjustment]string{None: "none", Forward: "forward", Backward: "backward"}[a]
}

// rowWriter writes rows in one format.
type rowWriter interface {
	head() ([]byte, error)
	rows(b *batch) ([]byte, error)
	tail() []byte
}

func (a *Answer) writer(f Format) rowWriter {
	switch f {
	case CSV:
		return &csvWriter{columns: a.Columns, dates: dates{}}
	case NDJSON:
		return newNDJSONWriter(a.Columns)
	}
	return newArrowWriter(a.Columns, a.Metadata())
}

// Head is the beginning of a stream, before any row.
func (a *Answer) Head(f Format) ([]byte, error) { return a.writer(f).head() }

// Write sends what follows the head: rows, about 1 MiB per message, then the end of the
// format, and returns the number of rows. done, which may be nil, is called when the data
// is no longer needed. While send waits, no query is in progress.
func (a *Answer) Write(ctx context.Context, f Format, send func(data []byte, done func()) error) (rows int64, err error) {
	w := a.writer(f)
	for part, err := range a.parts(ctx) {
		if err != nil {
			return rows, err
		}
		for order := range part.batches() {
			out, done, err := part.write(ctx, w, order)
			if err != nil {
				return rows, err
			}
			// Texts may be several times as long as their rows; an Arrow message is not split.
			for f != Arrow && len(out) > batchBytes {
				if err := send(out[:batchBytes], nil); err != nil {
					return rows, err
				}
				out = out[batchBytes:]
			}
			if err := send(out, done); err != nil {
				return rows, err
			}
			rows += int64(len(order))
		}
	}
	if tail := w.tail(); tail != nil {
		return rows, send(tail, nil)
	}
	return rows, nil
}

// slice is a date range that one query reads.
type slice struct {
	start, end market.Date
	rows       int // by the coverage; 0 if unknown
}

// slices divides the response into date ranges of about sliceRows rows, by the coverage.
func (a *Answer) slices() []slice {
	p := a.plan
	whole := slice{p.Start, p.End, 0}
	if p.date == "" || p.table.Name == catalog.TableCalendar {
		return []slice{whole}
	}
	rows := a.facts.rows[p.table.Name]
	days := make([]market.Date, 0, len(rows))
	for d := range rows {
		if (p.Start == market.NoDate || d >= p.Start) && (p.End == market.NoDate || d <= p.End) {
			days = append(days, d)
		}
	}
	slices.Sort(days)
	var out []slice
	start, n, limit := p.Start, int64(0), int64(firstRows)
	for _, d := range days {
		more := rows[d]
		if len(p.Symbols) > 0 {
			more = min(more, int64(len(p.Symbols)))
		}
		if n > 0 && n+more > limit {
			out = append(out, slice{start, d - 1, int(n)})
			start, n, limit = d, 0, min(2*limit, sliceRows)
		}
		n += more
	}
	return append(out, slice{start, p.End, int(n)})
}

// part is a slice that was read.
type part struct {
	answer *Answer
	sel    selection
	rows   *batch
	order  []int32
}

// batches are the rows in order, about batchBytes at a time, as indexes.
func (p part) batches() iter.Seq[[]int32] {
	return slices.Chunk(p.order, max(1, p.rows.rows*batchBytes/max(1, p.rows.bytes())))
}

// sendCost is about the cost of sending a byte, in both services.
const sendCost = 3 * time.Nanosecond

// write writes some of the rows. done is called when they are no longer needed; may be nil.
func (p part) write(ctx context.Context, w rowWriter, order []int32) (out []byte, done func(), err error) {
	a := p.answer
	pass, err := a.service.cfg.Gate.Enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer pass.Leave()
	if direct, ok := w.(*arrowWriter); ok && a.plan.Adjust == None {
		out, done, err = direct.gather(p.rows, p.sel.source, order)
	} else {
		b := p.rows.gather(a.Columns, p.sel.source, order)
		if a.plan.Adjust != None {
			a.apply(b, p.rows, order, p.sel)
		}
		out, err = w.rows(b)
	}
	pass.Charge(time.Duration(len(out)) * sendCost)
	return out, done, err
}

// parts reads slice by slice. While one is sent the next is read, unless too many responses
// do so already. A part is valid in the loop's body. When the sequence has ended, no query
// is in progress.
func (a *Answer) parts(ctx context.Context) iter.Seq2[part, error] {
	sel := a.selection(a.Columns...)
	return func(yield func(part, error) bool) {
		spans := a.slices()
		if len(spans) > 1 {
			select {
			case a.service.ahead <- struct{}{}:
				defer func() { <-a.service.ahead }()
				a.readAhead(ctx, sel, spans, yield)
				return
			default:
			}
		}
		rows := newBatch(sel.columns)
		for _, s := range spans {
			order, err := a.read(ctx, sel, s, rows)
			if !yield(part{a, sel, rows, order}, err) || err != nil {
				return
			}
		}
	}
}

func (a *Answer) readAhead(ctx context.Context, sel selection, spans []slice, yield func(part, error) bool) {
	type result struct {
		part
		err error
	}
	ctx, cancel := context.WithCancel(ctx)
	results, free := make(chan result), make(chan *batch, 2)
	free <- newBatch(sel.columns)
	free <- newBatch(sel.columns)
	go func() {
		defer close(results)
		for _, s := range spans {
			var r result
			select {
			case rows := <-free:
				r.part = part{a, sel, rows, nil}
				r.order, r.err = a.read(ctx, sel, s, rows)
			case <-ctx.Done():
				r.err = context.Cause(ctx)
			}
			select {
			case results <- r:
			case <-ctx.Done():
				return
			}
			if r.err != nil {
				return
			}
		}
	}()
	ended := false
	defer func() {
		cancel()
		for !ended { // until the reading has ended
			_, more := <-results
			ended = !more
		}
	}()
	for r := range results {
		if !yield(r.part, r.err) || r.err != nil {
			return
		}
		free <- r.rows
	}
	ended = true
	if err := ctx.Err(); err != nil {
		yield(part{}, context.Cause(ctx))
	}
}

// selection is what is read for some columns.
type selection struct {
	sql     string           // column list
	columns []catalog.Column // those that are read
	source  []int            // of each column among those read; -1 for the factor
	symbol  int              // index of the symbol, or of the calendar's exchange, among those read
	date    int              // index of the date among them; -1 if the table has none
}

func (a *Answer) selection(columns ...catalog.Column) selection {
	s := selection{symbol: -1, date: -1}
	want := func(c catalog.Column) int {
		at := slices.IndexFunc(s.columns, func(have catalog.Column) bool { return have.Stored == c.Stored })
		if at < 0 {
			at = len(s.columns)
			s.columns = append(s.columns, c)
		}
		return at
	}
	for _, c := range columns {
		if c.Stored == FactorColumn && a.plan.Adjust != None {
			s.source = append(s.source, -1)
			continue
		}
		s.source = append(s.source, want(c))
	}
	for _, c := range a.plan.table.Columns {
		switch c.Stored {
		case a.plan.symbol, "exchange":
			if slices.Contains(a.plan.table.Key, c.Stored) {
				s.symbol = want(c)
			}
		case a.plan.date:
			s.date = want(c)
		}
	}
	names := make([]string, len(s.columns))
	for i, c := range s.columns {
		names[i] = `"` + c.Stored + `"`
	}
	s.sql = strings.Join(names, ", ")
	return s
}

// read reads one slice into rows, which it empties first, and returns their order.
func (a *Answer) read(ctx context.Context, sel selection, s slice, rows *batch) ([]int32, error) {
	pass, err := a.service.cfg.Gate.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer pass.Leave()
	pass.Use(a.Version.Reader.Threads())
	p := a.plan
	err = a.reading(ctx, s, func(from string) error {
		rows.reset(s.rows)
		return a.Version.Reader.Query(ctx, "SELECT "+sel.sql+" FROM "+from+p.where(s.start, s.end), func(c universe.Chunk) error {
			rows.add(c)
			return pass.Rest(ctx)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.table.Name, err)
	}
	// DuckDB's own sort takes several times as long.
	return rows.sorted(sel.date, sel.symbol), nil
}

// apply multiplies the prices of a batch, whose rows are those of the order given.
func (a *Answer) apply(b, rows *batch, order []int32, sel selection) {
	symbols, days := &rows.columns[sel.symbol], &rows.columns[sel.date]
	for row, from := range order {
		f := a.factors.at(symbols.bytes(int(from)), market.Date(days.int(int(from))))
		for n, column := range a.Columns {
			v := &b.columns[n]
			switch {
			case sel.source[n] < 0:
				v.put(row, f)
			case !adjusted(column.Stored) || v.null(row):
			case math.IsNaN(f):
				v.drop(row)
			default:
				v.scale(row, f)
			}
		}
	}
}

// adjust reads the links between the requested rows.
func (a *Answer) adjust(ctx context.Context) error {
	p := a.plan
	holes, err := a.holes()
	if err != nil {
		return err
	}
	c := &chain{of: map[string]*history{}, hole: holes, listed: func(symbol string) market.Date {
		if x, ok := a.facts.lists.Find(symbol); ok && x.Listed != market.NoDate {
			return x.Listed
		}
		return math.MinInt32
	}}
	sel := a.selection(p.column("close"), p.column("pre_close"))
	rows := newBatch(sel.columns)
	for _, span := range a.slices() {
		order, err := a.read(ctx, sel, span, rows)
		if err != nil {
			return err
		}
		if err := a.link(ctx, c, sel, rows, order); err != nil {
			return err
		}
	}
	a.factors = c.factors(p.Adjust)
	slices.SortFunc(c.broken, func(x, y BrokenLink) int {
		if x.Symbol != y.Symbol {
			return strings.Compare(x.Symbol, y.Symbol)
		}
		return int(x.To) - int(y.To)
	})
	a.BrokenCount, a.Broken = len(c.broken), c.broken[:min(len(c.broken), maxTold)]
	return nil
}

// link adds the rows of a slice to the chain, oldest first.
func (a *Answer) link(ctx context.Context, c *chain, sel selection, rows *batch, order []int32) error {
	pass, err := a.service.cfg.Gate.Enter(ctx)
	if err != nil {
		return err
	}
	defer pass.Leave()
	symbols, days := &rows.columns[sel.symbol], &rows.columns[sel.date]
	closes, before := &rows.columns[sel.source[0]], &rows.columns[sel.source[1]]
	for _, row := range order {
		i := int(row)
		c.add(symbols.bytes(i), market.Date(days.int(i)), closes.number(i), before.number(i))
	}
	return nil
}

// holes finds days that are not complete, for the dataset of a symbol.
func (a *Answer) holes() (func(symbol string, after, before market.Date) (market.Date, bool), error) {
	p := a.plan
	conditions, err := a.facts.conditions(p.Pool, p.table.Name, p.datasets(), p.Start, p.End, p.Symbols, a.service.cfg)
	if err != nil {
		return nil, err
	}
	bad := map[market.Kind][]market.Date{}
	for _, c := range conditions {
		if d := catalog.Lookup(c.Dataset); d != nil && c.State != Available && c.Date != market.NoDate {
			bad[d.Kind] = append(bad[d.Kind], c.Date) // they are sorted by date
		}
	}
	return func(symbol string, after, before market.Date) (market.Date, bool) {
		days := bad[market.KindOf(symbol)]
		i, _ := slices.BinarySearch(days, after+1)
		if i < len(days) && days[i] < before {
			return days[i], true
		}
		return market.NoDate, false
	}, nil
}

// Tables lists the tables of a version.
func (s *Service) Tables(ctx context.Context, p market.Pool, version string) (*publish.Manifest, []pool.Table, error) {
	st, err := s.store(p)
	if err != nil {
		return nil, nil, err
	}
	v, release, err := st.Acquire(ctx, version)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	return v.Manifest, pool.Tables(), nil
}

// Conditions returns the conditions of a table's datasets, and the version. With symbols,
// they are those of the symbols' rows, after the symbols that no run fetches.
func (s *Service) Conditions(ctx context.Context, q Query) (version string, out []Condition, err error) {
	p, err := check(Query{Pool: q.Pool, Table: q.Table, Symbols: q.Symbols, Start: market.NoDate, End: market.NoDate})
	if err != nil {
		return "", nil, err
	}
	if q.Start != market.NoDate && q.End != market.NoDate && q.End < q.Start {
		return "", nil, fault.Invalid("end_date", "%s is before start_date %s", q.End, q.Start)
	}
	p.Start = q.Start
	if err := begun(p, s.cfg.Now()); err != nil {
		return "", nil, err
	}
	st, err := s.store(q.Pool)
	if err != nil {
		return "", nil, err
	}
	v, release, err := st.Acquire(ctx, q.Version)
	if err != nil {
		return "", nil, err
	}
	defer release()
	if p.End = q.End; p.End == market.NoDate {
		p.End = market.DateOf(s.cfg.Now())
	}
	f, out, err := s.conditions(ctx, v, p)
	if err != nil {
		return "", nil, err
	}
	return v.Manifest.Version, slices.Concat(f.unknown(p.Symbols), f.notFetched(p), out), nil
}

// Table is the table of the query.
func (a *Answer) Table() string { return a.plan.table.Name }
