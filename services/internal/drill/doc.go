// Package drill holds what the drills add to the programs: named points at which a
// process kills itself. Without the build tag `drill` they do nothing; the programs
// that people run are built without it.
//
// The clock that the drills set off is not here: their build replaces the one of
// package time (see cmd/afterbell-drill), so that the wall clock can jump under all
// of a program at once while timers run on, as they do on a host whose clock is set.
package drill
