// Package access proves callers: it keeps the keys and the sessions of the console in
// memory, as the ledger has them, makes and revokes them, counts wrong keys, and notes
// the last use of each key. The rules are in package auth.
//
// A wrong key costs one look-up and one SHA-256, and no read or write of the ledger.
package access
