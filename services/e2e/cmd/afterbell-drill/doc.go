// Command afterbell-drill injects failures into the built programs and checks that the pair
// recovers. Each drill starts a pair in its own directory with a simulated provider in this process,
// injects a failure, lets the pair recover, and then compares both pools with the provider, row by
// row. `make drill` runs it.
//
// The drill sixty is a season: many consecutive evenings, each with a random error of the provider.
// At its end the pair must report every difference.
//
// The programs are built with the tag `drill`, which adds a clock that can be set, and named points
// to crash at. Released programs have neither.
package main
