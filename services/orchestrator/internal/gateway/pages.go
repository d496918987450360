package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

// Status is what /readyz tells: whether the orchestrator can answer, and what it
// knows of the worker. A worker that is away does not make it unready: it still
// answers, and says so.
type Status struct {
	// Ready is false when the ledger cannot be read.
	Ready bool `json:"ready"`
	// Ledger is "open" or what is wrong with it.
	Ledger string `json:"ledger"`
	// Worker is "reachable", "unreachable" or "unknown" before it was asked.
	Worker string `json:"worker"`
	// WorkerAddress is where it is expected.
	WorkerAddress string `json:"workerAddress"`
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // a caller that is gone needs no answer
}

// page serves GET and HEAD, and refuses other methods in the API's form.
func (g *gateway) page(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet { // the guard has made a HEAD one
			w.Header().Set("Allow", "GET, HEAD")
			g.methodNotAllowed(w, r)
			return
		}
		if !open(r.URL.Path) { // who may call is known, and what it asks for costs something
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
	{"/v1/pools", "both pools: state, queue, last run"},
	{"/v1/runs", "runs, newest first"},
	{"/v1/readiness", "may the pools be ingested now, and if not, why not"},
	{"/v1/probes", "the last probe of every module"},
	{"/v1/preflights", "preflights, newest first; POST /v1/preflights:run streams a new one"},
	{"/v1/domains", "what can be ingested, and what is switched on"},
	{"/v1/targets", "the list that the targets pool follows"},
	{"/v1/schedule", "when runs start by themselves"},
	{"/v1/slots", "every expected evening and what became of it"},
	{"/v1/settings", "how runs are judged and ordered"},
	{"/v1/channels", "where notices go, and how each of them gets on"},
	{"/v1/notices", "what was told of each evening; /v1/deliveries lists what became of it"},
	{"/v1/pools/universe/coverage", "what the universe pool holds and lacks"},
	{"/v1/data", "the tables that can be read; /v1/data/daily_prices.csv and .parquet, .arrow, .ndjson read one"},
	{"/openapi.json", "the REST API in full"},
	{"/healthz", "is the process alive"},
	{"/readyz", "can it answer, and is the worker there"},
	{"/metrics", "what Prometheus reads"},
}

// index answers a browser with the console, and anything else with a list of paths.
func (g *gateway) index(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		writeJSON(w, http.StatusOK, map[string]any{"service": "afterbell orchestrator", "paths": entries})
		return
	}
	g.console.Index(w, r)
}
