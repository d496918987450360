// Package quota decides when a provider call may be made under limits that the
// provider states only in its refusals. Limits are per token and API, and per
// minute, hour or Beijing day.
//
// It is pure: state and a moment go in, a decision comes out. Package limiter
// waits, remembers and locks. Whether the provider's minute is a calendar minute
// or a rolling one, and whether refused calls count, is not known; the readings
// that can never exceed a limit are taken: it rolls, and they count.
package quota
