// Package vault provides the provider tokens. They come from the environment, from a file
// that the environment names, or from the store, which is encrypted by age, if possible
// under a key from elsewhere. They leave the package only for the body of a provider call:
// no text, log line or JSON of the package's types contains one.
//
// A fingerprint may be shown: a hash under a random key of this data directory. It makes a
// change of the token visible, but reveals neither its value nor whether it equals a token
// elsewhere.
package vault
