// Package api serves afterbell.ingest.v1: it turns requests into the words of the
// worker's packages, and what they answer back. It decides nothing.
package api
