// Package access authenticates callers. It caches the ledger's keys and the console's
// sessions in memory, creates and revokes them, counts invalid keys, and records the last
// use of each key. The rules are in package auth.
//
// An invalid key costs one look-up and one SHA-256, and no read or write of the ledger.
package access
