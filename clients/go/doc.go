// Package afterbell is a typed client of the orchestrator's public gRPC API.
//
// Client has one generated client per service; every error that it returns is an *Error, a
// context error or io.EOF. Events follows a run to its end and resumes an interrupted
// stream. Evening checks whether a pool has the complete data of a trade date, and
// WaitEvening waits until it does.
package afterbell
