// Package transport is the gRPC layer of the services: server and client, the encoding of a
// fault.Error, the conversion of contract types to those of packages market and fault, and
// the security of connections to another machine: certificates and a secret from files.
//
// Without those, it only listens on and dials loopback addresses.
package transport
