// Package metrics exports the orchestrator's metrics to Prometheus. Events are counted when
// they are stored: Watched wraps the ledger. States are read at each scrape, from the
// ledger and from the worker.
package metrics
