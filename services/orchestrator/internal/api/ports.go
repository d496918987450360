package api

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/instrument"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/rows"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/scheduler"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
	"github.com/afterbell/afterbell/services/orchestrator/internal/targetset"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

// Ledger is what the API reads and keeps; *ledger.Store is one. What is not there
// is NOT_FOUND.
type Ledger interface {
	Calendar(ctx context.Context) (slot.Calendar, error)
	Run(ctx context.Context, id string) (run.Run, error)
	Runs(ctx context.Context, f run.Filter) ([]run.Run, error)
	Partitions(ctx context.Context, runID string, offset, limit int) ([]run.Partition, error)
	Preflight(ctx context.Context, id string) (readiness.Preflight, error)
	Preflights(ctx context.Context, limit int, before string) ([]readiness.Preflight, error)
	SaveDomain(ctx context.Context, d readiness.DomainSetting) error
	SaveModule(ctx context.Context, id string, enabled bool) error
	// Targets is the watch list: what the sets resolve to now.
	Targets(ctx context.Context) ([]string, error)
	// TargetSets are by name, without what has ended; the default set is among them.
	TargetSets(ctx context.Context) ([]targetset.Set, error)
	SaveTargetSet(ctx context.Context, set targetset.Set) (targetset.Set, error)
	DeleteTargetSet(ctx context.Context, id string) error
	Settings(ctx context.Context) (settings.Settings, error)
	SaveSettings(ctx context.Context, s settings.Settings) error
}

// Dispatcher starts and steers runs; *dispatch.Dispatcher is one.
type Dispatcher interface {
	Create(ctx context.Context, req dispatch.CreateRequest) ([]run.Run, error)
	// Reconfigured tells that what runs of these pools take in was changed.
	Reconfigured(pools ...market.Pool)
	Plan(ctx context.Context, req dispatch.CreateRequest) ([]dispatch.Plan, error)
	Cancel(ctx context.Context, runID, note string) (run.Run, error)
	Pause(ctx context.Context, pool market.Pool, note string) (dispatch.PoolStatus, error)
	Resume(ctx context.Context, pool market.Pool, note string) (dispatch.PoolStatus, error)
	Delete(ctx context.Context, runID string) error
	Watch(ctx context.Context, runID string, after int64, send func(run.Event) error) error
	PoolStatus(ctx context.Context, pool market.Pool) (dispatch.PoolStatus, error)
	Verify(ctx context.Context, runID string) (dispatch.Verification, error)
}

// Preflighter probes and judges; *preflight.Runner is one.
type Preflighter interface {
	// Run probes and judges, telling each step as it happens; an error of tell stops
	// it.
	Run(ctx context.Context, opts preflight.Options, tell func(preflight.Event) error) (readiness.Preflight, error)
	// Facts are what the ledger knows now, for a verdict without a call at the
	// provider.
	Facts(ctx context.Context, requested []string) (readiness.Facts, error)
	// Refresh asks the worker for the catalog and the tokens.
	Refresh(ctx context.Context) error
}

// Worker tells what a pool holds and what the provider's refusals taught;
// *worker.Client is one.
type Worker interface {
	Coverage(ctx context.Context, q worker.CoverageQuery) ([]worker.Coverage, error)
	AbsentSymbols(ctx context.Context, pool market.Pool, dataset string, d market.Date, symbols []string) ([]worker.AbsentSymbol, error)
	Revisions(ctx context.Context, q worker.RevisionQuery) ([]run.Revision, error)
	// Provider is the URL of the provider that the worker calls.
	Provider(ctx context.Context) (string, error)
	Limits(ctx context.Context) ([]worker.Limit, []worker.OwnWait, error)
	// Info tells of the worker itself and of what is published.
	Info(ctx context.Context) (*marketv1.ServiceInfo, []*marketv1.Publication, error)
	// TokenList tells of the tokens, never their values; SetToken and ClearToken change
	// those that are stored.
	TokenList(ctx context.Context) (worker.TokenList, error)
	SetToken(ctx context.Context, domain, token string) error
	ClearToken(ctx context.Context, domain string) error
	// Instruments are those that the lists have, none where known is their version.
	Instruments(ctx context.Context, known string) (version string, all []instrument.Instrument, err error)
	// ForgetLimits drops the limits of the APIs, all where none is named.
	ForgetLimits(ctx context.Context, apis []string) ([]worker.Limit, error)
}

// Scheduler keeps and explains the schedule; *scheduler.Scheduler is one.
type Scheduler interface {
	Get(ctx context.Context) (scheduler.View, error)
	// Update changes the schedule; INVALID_ARGUMENT names what is wrong, and then
	// nothing is changed.
	Update(ctx context.Context, change func(*slot.Schedule)) (scheduler.View, error)
	// Check answers as Update would, and changes nothing.
	Check(ctx context.Context, change func(*slot.Schedule)) (scheduler.View, error)
	Pause(ctx context.Context, note string) (scheduler.View, error)
	// Resume releases the schedule; an empty policy means the schedule's own.
	Resume(ctx context.Context, note string, policy slot.CatchUp) (scheduler.View, error)
	// ListSlots lists slots, newest first, beginning with the next ones to come.
	ListSlots(ctx context.Context, pool market.Pool, limit int, before string) ([]slot.Slot, error)
	ExplainSlot(ctx context.Context, id string) (scheduler.Explanation, error)
	// NextSlot is the next slot of a pool that will fire; ok is false when none will.
	NextSlot(ctx context.Context, pool market.Pool) (next slot.Slot, ok bool, err error)
	// ExplainRun tells the chain of a run in order, and the next command to type.
	ExplainRun(ctx context.Context, r run.Run) (sentences []bilingual.Text, next string, err error)
}

// Keys makes, lists and revokes keys; *access.Keeper is one.
type Keys interface {
	Create(ctx context.Context, name string, role auth.Role, ttl time.Duration, creator string) (auth.Key, string, error)
	List() []auth.Key
	// Revoke revokes a key. With keepAdmin, WRONG_STATE refuses the last active admin key.
	Revoke(ctx context.Context, id string, keepAdmin bool) (auth.Key, error)
}

// Config is what the API is built from. Every field but KeysRequired, KeepAlive and StallTime is required.
type Config struct {
	// Ledger that remembers.
	Ledger Ledger
	// Dispatcher of runs.
	Dispatcher Dispatcher
	// Preflight of modules.
	Preflight Preflighter
	// Worker that knows what is held.
	Worker Worker
	// Scheduler of slots.
	Scheduler Scheduler
	// Notices keeps channels and what was told.
	Notices NoticeLedger
	// Notifier sends it.
	Notifier Notifier
	// Rows of published versions.
	Rows *rows.Source
	// Keys of callers.
	Keys Keys
	// KeysRequired tells whether callers of a listener need a key.
	KeysRequired bool
	// Trail of changes.
	Trail Trail
	// Info tells of this process.
	Info func() *marketv1.ServiceInfo
	// Logger gets what is passed over without failing a call.
	Logger *slog.Logger
	// Stopping is closed when the process is asked to stop; streams end then, saying
	// so.
	Stopping <-chan struct{}
	// KeepAlive is how long a stream stays silent at most. 0 means 15 s.
	KeepAlive time.Duration
	// StallTime is how long a client of a stream may read nothing. 0 means 30 s.
	StallTime time.Duration
}

// Register adds every public service to a server.
func Register(server grpc.ServiceRegistrar, cfg Config) {
	if cfg.KeepAlive == 0 {
		cfg.KeepAlive = 15 * time.Second
	}
	cfg.StallTime = cmp.Or(cfg.StallTime, transport.StallTimeout)
	base := &base{Config: cfg}
	orchestratorv1.RegisterPreflightServiceServer(server, &preflightService{base: base})
	orchestratorv1.RegisterRunServiceServer(server, &runService{base: base})
	orchestratorv1.RegisterPoolServiceServer(server, &poolService{base: base})
	orchestratorv1.RegisterModuleServiceServer(server, &moduleService{base: base})
	orchestratorv1.RegisterTargetServiceServer(server, &targetService{base: base})
	orchestratorv1.RegisterScheduleServiceServer(server, &scheduleService{base: base})
	orchestratorv1.RegisterSettingsServiceServer(server, &settingsService{base: base})
	orchestratorv1.RegisterLimitServiceServer(server, &limitService{base: base})
	orchestratorv1.RegisterTokenServiceServer(server, &tokenService{base: base})
	orchestratorv1.RegisterNoticeServiceServer(server, &noticeService{base: base})
	orchestratorv1.RegisterDataServiceServer(server, &dataService{base: base})
	orchestratorv1.RegisterKeyServiceServer(server, &keyService{base: base})
	orchestratorv1.RegisterInfoServiceServer(server, &infoService{base: base})
	orchestratorv1.RegisterAuditServiceServer(server, &auditService{base: base})
}
