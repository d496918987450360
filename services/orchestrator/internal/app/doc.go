// Package app wires the orchestrator: it builds every part by name, in order, runs
// them, and closes them in reverse.
package app
