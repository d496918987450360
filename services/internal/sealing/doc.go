// Package sealing encrypts data at rest with age, under a key from the environment or from
// a file.
package sealing
