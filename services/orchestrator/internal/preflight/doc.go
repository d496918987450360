// Package preflight is the one piece of code that probes modules and judges pools,
// for the streaming RPC and for every run: callers differ only in the function that
// gets the events.
//
// It probes one module after the other, keeps each record in the ledger as it
// comes, and refreshes the ledger's copies of what the worker told.
package preflight
