// Package drill has what the drills need in the programs: named points at which a process
// kills itself. Without the build tag `drill` they do nothing; release builds do not have
// the tag.
//
// The shifted clock is not here: the drills' build replaces that of package time (see
// cmd/afterbell-drill), so that the wall clock jumps in the whole program while timers
// continue, as on a host whose clock is set.
package drill
