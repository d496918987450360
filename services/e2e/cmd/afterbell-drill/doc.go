// Command afterbell-drill injects faults into the built programs, one drill after
// the other, and shows that the pair heals itself: every drill starts its own pair
// in a directory of its own against a simulated provider in this process, does
// something to it, lets it recover, and then compares both pools with the provider
// row by row. It is what `make drill` runs.
//
// The drill sixty is a season: many evenings in a row, each with a random error of
// the provider, after which every difference must be named.
//
// The programs are built with the tag `drill`, which adds a clock that can be set
// off and named places to crash; the programs that people run have neither.
package main
