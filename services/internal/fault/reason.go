package fault

import "strings"

// Reason is the code of an error or finding. It is the `reason` of every
// google.rpc.ErrorInfo in the domain "afterbell", and the key of every issue in the ledger.
type Reason string

// Domain is the `domain` of every ErrorInfo.
const Domain = "afterbell"

// The closed list of reasons. The catalog (Describe) has their meaning, metadata and
// remedy.
const (
	TokenMissing              Reason = "TOKEN_MISSING"
	TokenInvalid              Reason = "TOKEN_INVALID"
	TooManyIPs                Reason = "TOO_MANY_IPS"
	PermissionDenied          Reason = "PERMISSION_DENIED"
	ProviderUnavailable       Reason = "PROVIDER_UNAVAILABLE"
	ProviderRefused           Reason = "PROVIDER_REFUSED"
	RateLimited               Reason = "RATE_LIMITED"
	QuotaExhausted            Reason = "QUOTA_EXHAUSTED"
	WorkerUnreachable         Reason = "WORKER_UNREACHABLE"
	PreflightFailed           Reason = "PREFLIGHT_FAILED"
	ModuleTestFailed          Reason = "MODULE_TEST_FAILED"
	DomainTestFailed          Reason = "DOMAIN_TEST_FAILED"
	ModuleTestStale           Reason = "MODULE_TEST_STALE"
	DomainTestStale           Reason = "DOMAIN_TEST_STALE"
	ModuleTestRequired        Reason = "MODULE_TEST_REQUIRED"
	DomainTestRequired        Reason = "DOMAIN_TEST_REQUIRED"
	NoSyncModuleSelected      Reason = "NO_SYNC_MODULE_SELECTED"
	DomainHasNoEnabledModules Reason = "DOMAIN_HAS_NO_ENABLED_MODULES"
	DomainProviderNotActive   Reason = "DOMAIN_PROVIDER_NOT_ACTIVE"
	ModuleNotSyncCapable      Reason = "MODULE_NOT_SYNC_CAPABLE"
	AnalysisDBLocked          Reason = "ANALYSIS_DB_LOCKED"
	AnalysisDBNotInitialized  Reason = "ANALYSIS_DB_NOT_INITIALIZED"
	TargetsDBLocked           Reason = "TARGETS_DB_LOCKED"
	TargetsDBNotInitialized   Reason = "TARGETS_DB_NOT_INITIALIZED"
	SourceMismatch            Reason = "SOURCE_MISMATCH"
	DiskFull                  Reason = "DISK_FULL"
	StoreFailed               Reason = "STORE_FAILED"
	NotPublished              Reason = "NOT_PUBLISHED"
	Incomplete                Reason = "INCOMPLETE"
	EmptyAnswer               Reason = "EMPTY_ANSWER"
	AcceptedShort             Reason = "ACCEPTED_SHORT"
	ProbeEmpty                Reason = "PROBE_EMPTY"
	UnknownSymbols            Reason = "UNKNOWN_SYMBOLS"
	RowsRejected              Reason = "ROWS_REJECTED"
	RowsInconsistent          Reason = "ROWS_INCONSISTENT"
	CalendarEnded             Reason = "CALENDAR_ENDED"
	CalendarUnavailable       Reason = "CALENDAR_UNAVAILABLE"
	Interrupted               Reason = "INTERRUPTED"
	Cancelled                 Reason = "CANCELLED"
	Stalled                   Reason = "STALLED"
	StaleEpoch                Reason = "STALE_EPOCH"
	WrongState                Reason = "WRONG_STATE"
	SchedulePaused            Reason = "SCHEDULE_PAUSED"
	ScheduleDisabled          Reason = "SCHEDULE_DISABLED"
	NotTradingDay             Reason = "NOT_TRADING_DAY"
	SlotMissed                Reason = "SLOT_MISSED"
	SlotCovered               Reason = "SLOT_COVERED"
	InvalidArgument           Reason = "INVALID_ARGUMENT"
	NotFound                  Reason = "NOT_FOUND"
	RequestIDReused           Reason = "REQUEST_ID_REUSED"
	DataDirLocked             Reason = "DATA_DIR_LOCKED"
	Internal                  Reason = "INTERNAL"
	ValuesRepeated            Reason = "VALUES_REPEATED"
	ValuesMissing             Reason = "VALUES_MISSING"
	ValuesConflict            Reason = "VALUES_CONFLICT"
	UnitSuspect               Reason = "UNIT_SUSPECT"
	SymbolsMissing            Reason = "SYMBOLS_MISSING"
	SymbolsAbsent             Reason = "SYMBOLS_ABSENT"
	SuspensionsConfirmed      Reason = "SUSPENSIONS_CONFIRMED"
	ValuesRevised             Reason = "VALUES_REVISED"
	SymbolRenamed             Reason = "SYMBOL_RENAMED"
	ClockWrong                Reason = "CLOCK_WRONG"
	WALHeld                   Reason = "WAL_HELD"
	RunAtEarly                Reason = "RUN_AT_EARLY"
	FileReplaced              Reason = "FILE_REPLACED"
	StoreAltered              Reason = "STORE_ALTERED"
	PublicationFailed         Reason = "PUBLICATION_FAILED"
	PublicationRepaired       Reason = "PUBLICATION_REPAIRED"
	DataIncomplete            Reason = "DATA_INCOMPLETE"
	Unauthenticated           Reason = "UNAUTHENTICATED"
	RoleRequired              Reason = "ROLE_REQUIRED"
	TooManyAttempts           Reason = "TOO_MANY_ATTEMPTS"
	EtagMismatch              Reason = "ETAG_MISMATCH"
	TooManyCalls              Reason = "TOO_MANY_CALLS"
	CallTimeout               Reason = "CALL_TIMEOUT"
	SlotReopened              Reason = "SLOT_REOPENED"
)

// Class says what happens after a reason. It decides about retries in a run, follow-up
// runs, and the readiness verdict.
type Class int

const (
	// Permanent means that a user must change something. Never retried.
	Permanent Class = iota
	// Transient means that it may be over in seconds or minutes.
	Transient
	// Quota means that it is over at a known time, when the provider's window allows calls again.
	Quota
	// Later means that it is over when the provider publishes or completes the data.
	Later
	// Notice blocks nothing: it is a warning or an explanation.
	Notice
)

// String is the class in lower case, as logs and docs write it.
func (c Class) String() string {
	return [...]string{"permanent", "transient", "quota", "later", "notice"}[c]
}

// Status is the gRPC status of a reason, by its canonical number, so that pure packages
// need not import gRPC.
type Status uint32

// The canonical gRPC codes in use.
const (
	StatusCancelled          Status = 1
	StatusInvalidArgument    Status = 3
	StatusDeadlineExceeded   Status = 4
	StatusNotFound           Status = 5
	StatusAlreadyExists      Status = 6
	StatusPermissionDenied   Status = 7
	StatusResourceExhausted  Status = 8
	StatusFailedPrecondition Status = 9
	StatusAborted            Status = 10
	StatusInternal           Status = 13
	StatusUnavailable        Status = 14
	StatusDataLoss           Status = 15
	StatusUnauthenticated    Status = 16
)

// Description is the catalog's entry of a reason.
type Description struct {
	// Class of the reason.
	Class Class
	// Status is the gRPC code of an error with this reason.
	Status Status
	// Meaning is one sentence for the documentation.
	Meaning string
	// Remedy says what to do, as a sentence or a command line.
	Remedy string
	// Keys are the metadata keys an error with this reason may carry.
	Keys []string
}

// Describe returns the entry of a reason. ok is false if it is not in the list.
func Describe(r Reason) (d Description, ok bool) {
	d, ok = catalog()[r]
	return d, ok
}

// Class of the reason: Notice if it is not in the list, for example because a newer release
// stored it.
func (r Reason) Class() Class {
	if d, ok := Describe(r); ok {
		return d.Class
	}
	return Notice
}

// noAction begins the remedies that need no action.
const noAction = "No action is needed"

// NeedsPerson reports whether a user must act, even if the failed step is retried
// meanwhile.
func (r Reason) NeedsPerson() bool {
	d, ok := Describe(r)
	return ok && (d.Class == Permanent || d.Class == Transient && !strings.HasPrefix(d.Remedy, noAction))
}

// Reasons lists every reason in the order of the contract's enum.
func Reasons() []Reason {
	all := make([]Reason, len(entries))
	for i, x := range entries {
		all[i] = x.reason
	}
	return all
}
