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

// Ledger stores what the API reads and changes; *ledger.Store implements it. It returns
// NOT_FOUND for what does not exist.
type Ledger interface {
	Calendar(ctx context.Context) (slot.Calendar, error)
	Run(ctx context.Context, id string) (run.Run, error)
	Runs(ctx context.Context, f run.Filter) ([]run.Run, error)
	Partitions(ctx context.Context, runID string, offset, limit int) ([]run.Partition, error)
	Preflight(ctx context.Context, id string) (readiness.Preflight, error)
	Preflights(ctx context.Context, limit int, before string) ([]readiness.Preflight, error)
	SaveDomain(ctx context.Context, d readiness.DomainSetting) error
	SaveModule(ctx context.Context, id string, enabled bool) error
	// Targets is the target list: the union of the sets now.
	Targets(ctx context.Context) ([]string, error)
	// TargetSets are by name, without expired entries; the default set is among them.
	TargetSets(ctx context.Context) ([]targetset.Set, error)
	SaveTargetSet(ctx context.Context, set targetset.Set) (targetset.Set, error)
	DeleteTargetSet(ctx context.Context, id string) error
	Settings(ctx context.Context) (settings.Settings, error)
	SaveSettings(ctx context.Context, s settings.Settings) error
}

// Dispatcher starts and controls runs; *dispatch.Dispatcher implements it.
type Dispatcher interface {
	Create(ctx context.Context, req dispatch.CreateRequest) ([]run.Run, error)
	// Reconfigured records that the modules or targets of these pools' runs have changed.
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

// Preflighter runs preflights; *preflight.Runner implements it.
type Preflighter interface {
	// Run runs the probes and decides, and passes each step to tell; an error of tell stops
	// it.
	Run(ctx context.Context, opts preflight.Options, tell func(preflight.Event) error) (readiness.Preflight, error)
	// Facts are the facts in the ledger, for a verdict without a call to the provider.
	Facts(ctx context.Context, requested []string) (readiness.Facts, error)
	// Refresh asks the worker for the catalog and the tokens.
	Refresh(ctx context.Context) error
}

// Worker returns what a pool has stored and the learned limits; *worker.Client implements
// it.
type Worker interface {
	Coverage(ctx context.Context, q worker.CoverageQuery) ([]worker.Coverage, error)
	AbsentSymbols(ctx context.Context, pool market.Pool, dataset string, d market.Date, symbols []string) ([]worker.AbsentSymbol, error)
	Revisions(ctx context.Context, q worker.RevisionQuery) ([]run.Revision, error)
	// Provider is the URL of the provider that the worker calls.
	Provider(ctx context.Context) (string, error)
	Limits(ctx context.Context) ([]worker.Limit, []worker.OwnWait, error)
	// Info describes the worker and the published versions.
	Info(ctx context.Context) (*marketv1.ServiceInfo, []*marketv1.Publication, error)
	// TokenList lists the tokens without their values; SetToken and ClearToken change the
	// stored ones.
	TokenList(ctx context.Context) (worker.TokenList, error)
	SetToken(ctx context.Context, domain, token string) error
	ClearToken(ctx context.Context, domain string) error
	// Instruments are those of the lists, none if known is their version.
	Instruments(ctx context.Context, known string) (version string, all []instrument.Instrument, err error)
	// ForgetLimits discards the limits of the APIs, or of all if none is named.
	ForgetLimits(ctx context.Context, apis []string) ([]worker.Limit, error)
}

// Scheduler changes and explains the schedule; *scheduler.Scheduler implements it.
type Scheduler interface {
	Get(ctx context.Context) (scheduler.View, error)
	// Update changes the schedule; INVALID_ARGUMENT names the invalid fields, and then nothing
	// is changed.
	Update(ctx context.Context, change func(*slot.Schedule)) (scheduler.View, error)
	// Check returns what Update would return, and changes nothing.
	Check(ctx context.Context, change func(*slot.Schedule)) (scheduler.View, error)
	Pause(ctx context.Context, note string) (scheduler.View, error)
	// Resume resumes the schedule; an empty policy means the schedule's own.
	Resume(ctx context.Context, note string, policy slot.CatchUp) (scheduler.View, error)
	// ListSlots lists slots, newest first, starting with the next ones that will fire.
	ListSlots(ctx context.Context, pool market.Pool, limit int, before string) ([]slot.Slot, error)
	ExplainSlot(ctx context.Context, id string) (scheduler.Explanation, error)
	// NextSlot is the next slot of a pool that will fire; ok is false when none will.
	NextSlot(ctx context.Context, pool market.Pool) (next slot.Slot, ok bool, err error)
	// ExplainRun explains what happened to a run in order, and returns the next command to
	// type.
	ExplainRun(ctx context.Context, r run.Run) (sentences []bilingual.Text, next string, err error)
}

// Keys creates, lists and revokes keys; *access.Keeper implements it.
type Keys interface {
	Create(ctx context.Context, name string, role auth.Role, ttl time.Duration, creator string) (auth.Key, string, error)
	List() []auth.Key
	// Revoke revokes a key. With keepAdmin, it returns WRONG_STATE for the last active admin
	// key.
	Revoke(ctx context.Context, id string, keepAdmin bool) (auth.Key, error)
}

// Config is the configuration of the API. Every field except KeysRequired, KeepAlive and
// StallTime is required.
type Config struct {
	// Ledger that stores everything.
	Ledger Ledger
	// Dispatcher of runs.
	Dispatcher Dispatcher
	// Preflight of modules.
	Preflight Preflighter
	// Worker with the pools.
	Worker Worker
	// Scheduler of slots.
	Scheduler Scheduler
	// Notices stores channels and notices.
	Notices NoticeLedger
	// Notifier sends them.
	Notifier Notifier
	// Rows of published versions.
	Rows *rows.Source
	// Keys of callers.
	Keys Keys
	// KeysRequired reports whether callers of a listener need a key.
	KeysRequired bool
	// Trail of changes.
	Trail Trail
	// Info describes this process.
	Info func() *marketv1.ServiceInfo
	// Logger gets errors that do not fail a call.
	Logger *slog.Logger
	// Stopping is closed when the process is asked to stop; then streams end with an error
	// that says so.
	Stopping <-chan struct{}
	// KeepAlive is the longest silence of a stream. 0 means 15 s.
	KeepAlive time.Duration
	// StallTime is how long a client of a stream may stop reading. 0 means 30 s.
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
