// Package fault is the one error type of both services: a reason from a closed
// list, a sentence for a user, the values it was built from and a remedy.
//
// What survives an RPC is the reason, message, metadata, retry time and field
// violations (package transport carries them as google.rpc details). The cause
// does not: it stays in the log of the process where it happened.
package fault
