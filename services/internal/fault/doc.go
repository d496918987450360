// Package fault is the one error type of both services: a reason from a closed list, a
// sentence for users, the values in it and a remedy.
//
// The reason, message, metadata, retry time and field violations are sent over an RPC
// (package transport encodes them as google.rpc details). The cause is not: it stays in the
// log of the process in which it happened.
package fault
