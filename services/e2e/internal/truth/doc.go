// Package truth compares what a pool's file holds with what the simulated provider
// has, row for row and value for value. It reads the files as anybody's SQL would,
// one dataset and day at a time, so that its memory does not grow with the pool.
package truth
