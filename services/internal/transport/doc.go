// Package transport is how the services speak gRPC: the server and client both
// sides build, the way a fault.Error crosses the wire and is rebuilt, and the
// words of the contracts as the Go types of packages market and fault.
//
// There is no authentication and no encryption: only loopback addresses are
// listened on and dialled.
package transport
