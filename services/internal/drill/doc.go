// Package drill holds what the drills add to the programs: named points at which a
// process kills itself, and a clock that can be set off. Without the build tag
// `drill` the points do nothing and the clock is the system's; the programs that
// people run are built without it.
package drill
