// Package vault holds the provider token. It comes from the environment or from a
// file that the environment names, and leaves the package only for the body of a
// provider call. No text, log line or JSON of the package's types contains it.
//
// What may be shown is a fingerprint: a keyed hash under a random key of this data
// directory, so that a change of token is visible, and neither the value nor its
// sameness with a token elsewhere can be guessed from it.
package vault
