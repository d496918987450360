// Package metrics is what Prometheus can read of the orchestrator. What happens is
// counted where it is stored: Watched stands before the ledger. How things stand is read
// at each scrape, from the ledger and from the worker's memory.
package metrics
