// Package worker is the client of the ingest-worker: the one place, beside app,
// that knows its contract. Answers become the values of run, readiness and
// catalog; errors are fault.Errors, and a worker that does not answer is
// WORKER_UNREACHABLE with its address.
//
// The connection is made on first use and again whenever it breaks, so the worker
// may start later than the orchestrator and restart at any time.
package worker
