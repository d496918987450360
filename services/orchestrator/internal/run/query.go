package run

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// PauseState says whether a pool is paused, and by whom.
type PauseState struct {
	// Paused pools dispatch nothing.
	Paused bool
	// Note says who paused or resumed it last, and why.
	Note string
	// At is when; zero if nobody did.
	At time.Time
}

// Filter selects runs. Zero fields select all.
type Filter struct {
	// Pool of the runs.
	Pool market.Pool
	// State they are in.
	State State
	// Outcome they ended with.
	Outcome Outcome
	// Limit is how many to return at most. 0 means 50.
	Limit int
	// Before is the ID of a run: only older ones are returned.
	Before string
}

// CreateRecord remembers a caller's request, so that repeating it finds its runs.
type CreateRecord struct {
	// RequestID is the caller's, and unique.
	RequestID string
	// Hash of the request's content.
	Hash string
	// RunIDs are the runs it was answered with, in order; some may have existed
	// before. Empty means those enqueued with it.
	RunIDs []string
}
