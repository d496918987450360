// Package vault holds the provider tokens. They come from the environment, from a
// file that the environment names, or were stored, encrypted by age under a key that
// lies elsewhere if one is given; and leave the package only for the body of a
// provider call. No text, log line or JSON of the package's types contains it.
//
// What may be shown is a fingerprint: a keyed hash under a random key of this data
// directory, so that a change of token is visible, and neither the value nor its
// sameness with a token elsewhere can be guessed from it.
package vault
