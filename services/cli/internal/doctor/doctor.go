// Package doctor examines an installation of afterbell from outside and reports problems
// and remedies. It changes nothing, and it never opens a pool's file, because only the
// owner may.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	afterbell "github.com/afterbell/afterbell/clients/go"
	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
)

// State is the result of a check.
type State string

// The states.
const (
	// Fine needs nothing.
	Fine State = "fine"
	// Notice may be intended, and is reported.
	Notice State = "notice"
	// Wrong keeps afterbell from its work until somebody acts.
	Wrong State = "wrong"
	// Skipped could not be looked at from here.
	Skipped State = "skipped"
)

// Finding is the result of one check.
type Finding struct {
	// Check is the name of the check.
	Check string `json:"check"`
	// State is its result.
	State State `json:"state"`
	// Found says what was found.
	Found string `json:"found"`
	// Remedy says what to do, and ends with a command if there is one. Empty if there is
	// nothing to do.
	Remedy string `json:"remedy,omitempty"`
	// Unreachable is whether a service cannot be reached.
	Unreachable bool `json:"unreachable,omitempty"`
}

// Options say what to examine.
type Options struct {
	// Client asks the orchestrator.
	Client *afterbell.Client
	// DataDir is the services' data directory. Empty means the one that the orchestrator uses,
	// if it responds and runs on this machine, or else "data".
	DataDir string
	// HTTPAddr is the orchestrator's REST address.
	HTTPAddr string
	// Access is the API key and the CA for both addresses.
	Access afterbell.Access
	// ProviderURL is the provider's URL, whose clock is compared. Empty means the one that the
	// worker calls.
	ProviderURL string
	// Lang is the language of the findings.
	Lang lang.Lang
	// Now is the clock.
	Now func() time.Time
	// Zone is the zone of times in findings.
	Zone *time.Location
	// Commands replaces REST calls in a text by commands.
	Commands func(string) string
	// Translate translates the message and the remedy of a reason.
	Translate func(reason string, meta map[string]string, message, remedy string) (said, todo string)
}

type doctor struct {
	Options
	lang.Lang
	findings []Finding
	reached  bool
	domains  *orchestratorv1.ListDomainsResponse // nil if unknown
	used     string                              // the orchestrator's data directory; empty if unknown
}

// Examine runs all checks in order. A check that depends on a failed one is skipped.
func Examine(ctx context.Context, o Options) []Finding {
	d := &doctor{Options: o, Lang: o.Lang}
	d.DataDir = cmp.Or(o.DataDir, "data")
	d.orchestrator(ctx)
	d.locate(ctx, o.DataDir == "")
	d.rest(ctx)
	if d.reached {
		d.worker(ctx)
		d.ask(ctx)
		d.token(ctx)
		d.limits(ctx)
		d.schedule(ctx)
		d.pools(ctx)
		d.published(ctx)
	}
	d.files()
	d.clock(ctx)
	d.zone()
	return d.findings
}

func (d *doctor) add(check string, state State, found, remedy string) {
	d.findings = append(d.findings, Finding{Check: check, State: state, Found: found, Remedy: d.Commands(remedy)})
}

// issue adds an issue of the orchestrator.
func (d *doctor) issue(check string, state State, i *faultv1.Issue) {
	found, remedy := d.said(i)
	d.add(check, state, found, remedy)
}

// said is the message of an issue, after its reason, and its remedy.
func (d *doctor) said(i *faultv1.Issue) (found, remedy string) {
	reason := strings.TrimPrefix(i.GetReason().String(), "REASON_")
	found, remedy = d.Translate(reason, i.GetMetadata(), i.GetMessage(), i.GetRemedy())
	return reason + ": " + found, remedy
}

// AboutToken reports whether a reason says that the provider does not accept the token, or
// that there is none.
func AboutToken(r faultv1.Reason) bool {
	switch r {
	case faultv1.Reason_REASON_TOKEN_MISSING, faultv1.Reason_REASON_TOKEN_INVALID, faultv1.Reason_REASON_PERMISSION_DENIED, faultv1.Reason_REASON_TOO_MANY_IPS:
		return true
	}
	return false
}

// failed adds an error that the orchestrator returned.
func (d *doctor) failed(check string, e *afterbell.Error) {
	found, remedy := d.Translate(e.ReasonName, e.Metadata, e.Message, e.Remedy)
	d.add(check, Wrong, found, cmp.Or(remedy, d.T("Read the orchestrator's log.")))
}

// unanswered adds a check that an error kept from its answer.
func (d *doctor) unanswered(check string, err error) {
	text := err.Error()
	var answer *afterbell.Error
	if errors.As(err, &answer) && answer.ReasonName != "" {
		text, _ = d.Translate(answer.ReasonName, answer.Metadata, answer.Message, answer.Remedy)
	}
	d.add(check, Skipped, d.T("the orchestrator did not answer: %s", text), "")
}

func (d *doctor) unreachable(check, found, remedy string) {
	d.findings = append(d.findings, Finding{Check: check, State: Wrong, Found: found, Remedy: remedy, Unreachable: true})
}

// callTime bounds one question.
const callTime = 5 * time.Second

// listens reports whether anything accepts connections at an address.
func listens(ctx context.Context, addr string) bool {
	conn, err := (&net.Dialer{Timeout: callTime}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return false
	}
	_ = conn.Close() // only to see whether it opens
	return true
}

func (d *doctor) orchestrator(ctx context.Context) {
	const check = "orchestrator"
	addr := d.Client.Addr()
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := d.Client.Schedule.GetSchedule(ctx, &orchestratorv1.GetScheduleRequest{})
	var answer *afterbell.Error
	switch {
	case err == nil:
		d.reached = true
		d.add(check, Fine, d.T("responds at %s", addr), "")
	case errors.As(err, &answer) && answer.ReasonName != "":
		d.reached = true
		d.failed(check, answer)
	case errors.Is(err, afterbell.ErrTLS) && d.Access.CA == "":
		d.unreachable(check, d.T("another program, or an orchestrator that requires TLS, listens at %s", addr),
			d.T("If it is the orchestrator, name the CA of its certificate: %s", "afterbell doctor --ca FILE"))
	case errors.Is(err, afterbell.ErrTLS) && errors.As(err, &answer):
		d.unreachable(check, answer.Message, d.T("Name the CA of the orchestrator's certificate: %s", "afterbell doctor --ca FILE"))
	case !listens(ctx, addr):
		d.unreachable(check, d.T("nothing listens at %s", addr),
			d.T("Start it with the same --data-dir as before, or pass its address with --orchestrator: %s", "bin/orchestrator"+d.where()+" --grpc-addr "+addr+" --http-addr "+d.HTTPAddr))
	default:
		d.unreachable(check, d.T("another program, or one that hangs, listens at %s", addr),
			d.T("Start the orchestrator with a different port, and pass it to this command with --orchestrator: %s", "bin/orchestrator --grpc-addr 127.0.0.1:0"))
	}
}

// locate asks the orchestrator for its data directory. It is examined if the user has named
// none, and if an orchestrator on this machine uses it.
func (d *doctor) locate(ctx context.Context, unnamed bool) {
	if !d.reached {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	info, err := d.Client.Info.GetInfo(ctx, &orchestratorv1.GetInfoRequest{})
	if err != nil {
		return // an older release, or a key that is not valid, which is reported already
	}
	d.used = info.GetOrchestrator().GetDataDir()
	if pid := holder(d.used, "orchestrator"); unnamed && d.used != "" && pid != 0 && alive(pid) {
		d.DataDir = d.used
	}
}

func (d *doctor) worker(ctx context.Context) {
	const check = "worker"
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	now := d.Now().In(d.Zone).Format(time.DateOnly)
	_, err := d.Client.Pools.ListCoverage(ctx, &orchestratorv1.ListCoverageRequest{Pool: "targets", StartDate: now, EndDate: now})
	var answer *afterbell.Error
	switch {
	case err == nil:
		d.add(check, Fine, d.T("responds to the orchestrator"), "")
	case errors.Is(err, afterbell.ErrWorkerUnreachable) && errors.As(err, &answer):
		at := answer.Metadata["address"]
		if at != "" && listens(ctx, at) {
			d.unreachable(check, d.T("a program listens at %s but does not respond to the orchestrator", at),
				d.T("If it was just started, wait a few seconds. If it is another program, set a different address with --grpc-addr of the worker and --worker-addr of the orchestrator: %s", "bin/ingest-worker --grpc-addr 127.0.0.1:7703"))
			return
		}
		d.unreachable(check, d.T("nothing listens at %s, where the orchestrator expects the worker", at),
			d.T("Start it, with its token and the same --data-dir as before: %s", "bin/ingest-worker"+d.where()+" --grpc-addr "+at))
	case errors.As(err, &answer):
		d.failed(check, answer)
	default:
		d.unanswered(check, err)
	}
}

// where returns the data directory as a flag: the one that the orchestrator uses, or the one
// that is examined. It is empty if neither is known.
func (d *doctor) where() string {
	if d.used != "" {
		return " --data-dir " + shellWord(d.used)
	}
	dir, err := d.dataDir()
	if err != nil {
		return ""
	}
	return " --data-dir " + shellWord(dir)
}

// token reports the token's tier as far as probes show it.
func (d *doctor) token(ctx context.Context) {
	const check = "token"
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	resp, err := d.Client.Modules.GetReadiness(ctx, &orchestratorv1.GetReadinessRequest{})
	if err != nil {
		d.unanswered(check, err)
		return
	}
	bad := false
	told := map[string]bool{}
	for _, v := range resp.GetVerdicts() {
		for _, i := range v.GetIssues() {
			if i.GetReason() == faultv1.Reason_REASON_WORKER_UNREACHABLE || told[i.GetMessage()] {
				continue // reported by the worker's check
			}
			told[i.GetMessage()] = true
			name, state := "readiness", Notice
			if AboutToken(i.GetReason()) {
				name, bad = check, true
			}
			if i.GetSeverity() == faultv1.Severity_SEVERITY_BLOCKING {
				state = Wrong
			}
			d.issue(name, state, i)
		}
	}
	if bad {
		return
	}
	probes, err := d.Client.Preflights.ListProbes(ctx, &orchestratorv1.ListProbesRequest{})
	if err != nil {
		d.unanswered(check, err)
		return
	}
	passed, failed := 0, 0
	for _, p := range probes.GetProbes() {
		switch p.GetStatus() {
		case orchestratorv1.Probe_STATUS_PASS:
			passed++
		case orchestratorv1.Probe_STATUS_FAIL:
			failed++
		}
	}
	if passed == 0 && failed > 0 {
		d.add(check, Notice, d.N(failed, "%d module was probed with it, without success", "%d modules were probed with it, none successfully"), d.T("Probe them: %s", "afterbell preflight"))
		return
	}
	if passed == 0 {
		d.add(check, Notice, d.T("no module has been probed with it yet"), d.T("Probe them: %s", "afterbell preflight"))
		return
	}
	d.add(check, Fine, d.N(passed, "%d module was probed with it successfully", "%d modules were probed with it successfully")+d.tier(), "")
}

// ask asks for the domains, from which other checks read.
func (d *doctor) ask(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if resp, err := d.Client.Modules.ListDomains(ctx, &orchestratorv1.ListDomainsRequest{}); err == nil {
		d.domains = resp
	}
	if d.ProviderURL == "" {
		d.ProviderURL = d.domains.GetProviderUrl()
	}
}

// tier is what the modules that passed show about the token's points.
func (d *doctor) tier() string {
	var least int32
	for _, domain := range d.domains.GetDomains() {
		for _, m := range domain.GetModules() {
			if m.GetProbe().GetStatus() != orchestratorv1.Probe_STATUS_PASS {
				continue
			}
			for _, set := range m.GetModule().GetDatasets() {
				least = max(least, set.GetPoints())
			}
		}
	}
	if least == 0 {
		return ""
	}
	return d.T("; its tier has at least %d points", least)
}

// limits reports the learned limits of the token.
func (d *doctor) limits(ctx context.Context) {
	const check = "limits"
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	resp, err := d.Client.Limits.ListLimits(ctx, &orchestratorv1.ListLimitsRequest{})
	if err != nil {
		return // reported by the worker's check
	}
	var held []string
	for _, l := range resp.GetLimits() {
		if !l.GetInForce() {
			continue
		}
		window := d.T(strings.ToLower(strings.TrimPrefix(l.GetWindow().String(), "WINDOW_")))
		text := l.GetProviderApi() + " " + window
		if l.GetCallCount() > 0 {
			text = fmt.Sprintf("%s %d/%s", l.GetProviderApi(), l.GetCallCount(), window)
		}
		if t := l.GetOpenTime(); t != nil {
			text += " " + d.T("until %s (Shanghai)", t.AsTime().In(d.Zone).Format("2006-01-02 15:04"))
		}
		held = append(held, text)
	}
	if len(held) == 0 {
		d.add(check, Fine, d.T("no limit is in force"), "")
		return
	}
	d.add(check, Notice, d.T("the provider has refused calls of this token: %s", strings.Join(held, ", ")),
		d.T("Each limit is tried again when its window has passed. If you have upgraded the token, forget the limits: %s", "afterbell limits forget"))
}

// published reports the version for readers.
func (d *doctor) published(ctx context.Context) {
	const check = "published"
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	resp, err := d.Client.Data.ListTables(ctx, &orchestratorv1.ListTablesRequest{})
	switch {
	case err == nil && resp.GetVersion() != "":
		d.add(check, Fine, d.T("version %s; read it in the directory published of the data directory, or over REST", resp.GetVersion()), "")
	case err == nil, errors.Is(err, afterbell.ErrNotFound):
		d.add(check, Notice, d.T("no version is published yet"), d.T("A run publishes the data that it fetched: %s", "afterbell run universe --watch"))
	}
}

func (d *doctor) schedule(ctx context.Context) {
	const check = "schedule"
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	resp, err := d.Client.Schedule.GetSchedule(ctx, &orchestratorv1.GetScheduleRequest{})
	if err != nil {
		d.unanswered(check, err)
		return
	}
	s := resp.GetSchedule()
	for _, i := range s.GetIssues() {
		d.issue(check, Notice, i)
	}
	switch {
	case s.GetPaused():
		d.add(check, Wrong, d.T("it is paused: %s", cmp.Or(s.GetNote(), "-")), d.T("Resume it: %s", "afterbell schedule resume"))
	case !s.GetEnabled():
		d.add(check, Wrong, d.T("it is disabled"), d.T("Enable it: %s", "afterbell schedule set --enabled=true"))
	case s.GetNextTime() != nil:
		d.add(check, Fine, d.T("starts next at %s (Shanghai)", s.GetNextTime().AsTime().In(d.Zone).Format("2006-01-02 15:04")), "")
	case len(s.GetIssues()) == 0:
		d.add(check, Notice, d.T("no run is scheduled"), d.T("Check the schedule: %s", "afterbell schedule show"))
	}
}

func (d *doctor) pools(ctx context.Context) {
	const check = "pools"
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	resp, err := d.Client.Pools.ListPools(ctx, &orchestratorv1.ListPoolsRequest{})
	if err != nil {
		d.unanswered(check, err)
		return
	}
	fine := true
	for _, p := range resp.GetPools() {
		name := strings.ToLower(strings.TrimPrefix(p.GetPool().String(), "POOL_"))
		if p.GetPaused() {
			fine = false
			d.add(check, Wrong, d.T("%s is paused: %s", name, cmp.Or(p.GetNote(), "-")), d.T("Resume it: %s", "afterbell resume "+name))
		}
		last := p.GetLastRun()
		if last.GetOutcome() != orchestratorv1.Run_OUTCOME_BLOCKED && last.GetOutcome() != orchestratorv1.Run_OUTCOME_FAILED || len(last.GetIssues()) == 0 {
			continue
		}
		fine = false
		found, remedy := d.said(last.GetIssues()[0])
		d.add(check, Notice, d.T("the last run of %s did not succeed: %s", name, found),
			cmp.Or(remedy, d.T("Show the details: %s", "afterbell show "+last.GetRunId())))
	}
	if fine {
		d.add(check, Fine, d.T("both are active"), "")
	}
}

func size(n uint64) string {
	if n >= 1<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
