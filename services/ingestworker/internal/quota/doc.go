// Package quota decides when a provider call may be made. The provider states its limits
// only in refusals; they apply per token and API, and per minute, hour or Beijing day.
//
// It is pure: it maps a state and a time to a decision. Package limiter waits, stores and
// locks. It is unknown whether the provider's minute is a calendar minute or a rolling one,
// and whether refused calls count. The safe assumptions are made: it rolls, and they count.
package quota
