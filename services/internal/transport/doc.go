// Package transport is how the services speak gRPC: the server and client both
// sides build, the way a fault.Error crosses the wire and is rebuilt, the words of
// the contracts as the Go types of packages market and fault, and what keeps a
// connection to another machine safe: certificates and a secret from files.
//
// Without those, only loopback addresses are listened on and dialled.
package transport
