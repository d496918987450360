// Package sealing encrypts what a service keeps at rest, by age, under a key from the
// environment or from a file of its own.
package sealing
