// Package afterbell is a typed client of the orchestrator's public gRPC API.
//
// Client holds one generated client per service; every error that it returns is an
// *Error, a context error or io.EOF. Events follows a run to its end and resumes a
// stream that was cut. Evening judges whether a pool holds a trade date, and
// WaitEvening waits until it does.
package afterbell
