// Package worker is the client of the ingest-worker and, with app, the only package that
// knows its contract. Responses become values of run, readiness and catalog; errors are
// fault.Errors, and a worker that does not respond is WORKER_UNREACHABLE with its address.
//
// It connects on first use and again after each failure, so the worker may start later than
// the orchestrator and restart at any time.
package worker
