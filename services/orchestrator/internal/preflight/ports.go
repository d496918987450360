package preflight

import (
	"context"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// Ledger stores preflights; *ledger.Store implements it.
type Ledger interface {
	SavePreflight(ctx context.Context, p readiness.Preflight) error
	// Preflights lists preflights, newest first.
	Preflights(ctx context.Context, limit int, before string) ([]readiness.Preflight, error)
	SaveProbe(ctx context.Context, p readiness.Probe) error
	SaveCatalog(ctx context.Context, c catalog.Catalog) error
	SaveTokens(ctx context.Context, tokens []readiness.Token, host string, at time.Time) error
	SaveCalendar(ctx context.Context, c slot.Calendar) error
	FactStore
}

// FactStore is where facts are read from.
type FactStore interface {
	Catalog(ctx context.Context) (catalog.Catalog, bool, error)
	Tokens(ctx context.Context) (tokens map[string]readiness.Token, host string, err error)
	Probes(ctx context.Context) (map[string]readiness.Probe, error)
	Domains(ctx context.Context) (map[string]readiness.DomainSetting, error)
	Modules(ctx context.Context) (map[string]bool, error)
	Targets(ctx context.Context) ([]string, error)
	Settings(ctx context.Context) (settings.Settings, error)
	Calendar(ctx context.Context) (slot.Calendar, error)
}

// Worker is the ingest-worker. WORKER_UNREACHABLE if it cannot be reached.
type Worker interface {
	Catalog(ctx context.Context) (catalog.Catalog, error)
	// Tokens returns where each domain's token comes from, and the provider's host.
	Tokens(ctx context.Context) (tokens []readiness.Token, host string, err error)
	Calendar(ctx context.Context) (slot.Calendar, error)
	// ProbeModules probes one module after the other. started and finished are called from the
	// calling goroutine; if one returns an error, the probes end and it is returned.
	ProbeModules(ctx context.Context, req ProbeRequest, started func(ModuleStarted) error, finished func(readiness.Probe) error) error
}

// ProbeRequest says what to probe.
type ProbeRequest struct {
	// Modules in the order in which they are probed.
	Modules []string
	// TradeDate is the last known trading day; NoDate if no calendar is stored yet.
	TradeDate market.Date
	// Timeout of one probe.
	Timeout time.Duration
}
