package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

// Status is the response of /readyz: whether the orchestrator can serve requests, and
// whether it reaches the worker. An unreachable worker does not make it unready: it still
// serves requests.
type Status struct {
	// Ready is false when the ledger cannot be read.
	Ready bool `json:"ready"`
	// Ledger is "open" or what is wrong with it.
	Ledger string `json:"ledger"`
	// Worker is "reachable", "unreachable" or, before it was called, "unknown".
	Worker string `json:"worker"`
	// WorkerAddress is the configured address of the worker.
	WorkerAddress string `json:"workerAddress"`
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a caller that is gone needs no answer
}

// page serves GET and HEAD, and rejects other methods in the API's form.
func (g *gateway) page(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet { // the guard has made a HEAD one
			w.Header().Set("Allow", "GET, HEAD")
			g.methodNotAllowed(w, r)
			return
		}
		if !open(r.URL.Path) { // the caller is authenticated, and the response costs something
			done, err := g.limits.Enter(auth.CallerOf(r.Context()).Account(), false)
			if err != nil {
				g.refuse(w, r, err)
				return
			}
			defer done()
		}
		h(w, r)
	}
}

func (g *gateway) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

func (g *gateway) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	s := g.ready(ctx)
	code := http.StatusOK
	if !s.Ready {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, s)
}

func (g *gateway) openapi(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(g.document) // a caller that is gone needs no answer
}

// entry is one line of the index.
type entry struct {
	Path  string `json:"path"`
	About string `json:"about"`
}

var entries = []entry{
	{"/v1/pools", "state, queue and last run of both pools"},
	{"/v1/runs", "runs, newest first"},
	{"/v1/readiness", "whether each pool can run now, and if not, why"},
	{"/v1/probes", "the last probe of each module"},
	{"/v1/preflights", "preflights, newest first; POST /v1/preflights:run streams a new one"},
	{"/v1/domains", "domains and modules, and which of them are enabled"},
	{"/v1/targets", "the target list"},
	{"/v1/schedule", "the schedule and its next start"},
	{"/v1/slots", "the slots of the schedule, and what happened to each"},
	{"/v1/settings", "the settings of runs"},
	{"/v1/channels", "the channels of notices, and the state of each"},
	{"/v1/notices", "the notices that were sent; /v1/deliveries lists the attempts per channel"},
	{"/v1/pools/universe/coverage", "what is stored and what is missing in universe"},
	{"/v1/data", "the published tables; /v1/data/daily_prices.csv (or .parquet, .arrow, .ndjson) returns one"},
	{"/openapi.json", "the description of the REST API"},
	{"/healthz", "whether the process is running"},
	{"/readyz", "whether it can serve requests, and whether it reaches the worker"},
	{"/metrics", "metrics for Prometheus"},
}

// index returns the console to a browser, and a list of paths to other clients.
func (g *gateway) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		writeJSON(w, http.StatusOK, map[string]any{"service": "afterbell orchestrator", "paths": entries})
		return
	}
	g.console.Index(w, r)
}
