package api

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/instrument"
)

const (
	// namesAge is how old the lists may be if they are only used for names and searches.
	namesAge = time.Minute
	// awayPause is how long a worker that did not respond is not asked again.
	awayPause = 10 * time.Second
)

// listCache has the instrument lists that the worker sent last.
type listCache struct {
	mu      sync.Mutex
	asked   time.Time
	away    bool
	version string
	list    *instrument.List
}

// instruments are the worker's lists, at most so old; those it sent last while it is
// unreachable, and nil before it has sent any.
func (b *base) instruments(ctx context.Context, age time.Duration) *instrument.List {
	c := &b.lists
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.away:
		age = min(age, awayPause)
	case !c.list.Known():
		age = 0
	}
	if age > 0 && time.Since(c.asked) < age {
		return c.list
	}
	asking, cancel := context.WithTimeout(ctx, refreshTime)
	defer cancel()
	version, all, err := b.Worker.Instruments(asking, c.version)
	c.away = err != nil
	switch {
	case err != nil:
		b.Logger.Debug("the worker did not return its instrument lists; using the last ones", "error", err)
	case version == "":
		c.version, c.list = "", nil
	case version != c.version:
		c.version, c.list = version, instrument.New(all)
	}
	if ctx.Err() == nil {
		c.asked = time.Now()
	}
	return c.list
}

// SearchInstruments implements orchestratorv1.TargetServiceServer.
func (s *targetService) SearchInstruments(ctx context.Context, req *orchestratorv1.SearchInstrumentsRequest) (*orchestratorv1.SearchInstrumentsResponse, error) {
	var p problems
	switch n := utf8.RuneCountInString(req.GetQuery()); {
	case strings.TrimSpace(req.GetQuery()) == "":
		p.add("query", "is required: write a part of a code or name, or pinyin initials, as in gzmt")
	case n > 64:
		p.add("query", "is %d characters; at most 64 are allowed", n)
	case unprintable(req.GetQuery()):
		p.add("query", "contains characters that cannot be printed")
	}
	kind := transport.KindFromProto(req.GetKind())
	if kind == "" && req.GetKind() != marketv1.InstrumentKind_INSTRUMENT_KIND_UNSPECIFIED {
		p.add("kind", "%s is not allowed: allowed are INSTRUMENT_KIND_STOCK, INSTRUMENT_KIND_ETF", req.GetKind())
	}
	limit, _ := p.page(req.GetPageSize(), 20, 200, "", "instruments", "")
	if err := p.err(); err != nil {
		return nil, err
	}
	list := s.instruments(ctx, namesAge)
	if !list.Known() {
		return nil, fault.New(fault.NotFound, "The orchestrator has no instrument list yet; the first run fetches it.", "kind", "list of instruments")
	}
	found, more := list.Search(req.GetQuery(), kind, req.GetIncludeDelisted(), limit)
	return &orchestratorv1.SearchInstrumentsResponse{Instruments: each(found, instrumentOf), More: more}, nil
}

func instrumentOf(i instrument.Instrument) *orchestratorv1.Instrument {
	return &orchestratorv1.Instrument{
		Symbol: i.Symbol, Name: i.Name, Kind: transport.KindToProto(i.Kind), ListStatus: i.Status,
		ListDate: i.Listed.String(), DelistDate: i.Delisted.String(), FormerSymbols: i.Former,
	}
}
