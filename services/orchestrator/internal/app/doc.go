// Package app wires the orchestrator: it builds every part, runs them, and closes them in
// reverse order.
package app
