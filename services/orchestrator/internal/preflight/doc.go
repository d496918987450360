// Package preflight probes modules and decides about pools, for the streaming RPC and for
// every run; callers differ only in the function that receives the events.
//
// It probes one module after the other, stores each result in the ledger at once, and
// refreshes the ledger's copies of the worker's catalog, tokens and calendar.
package preflight
