// Package gateway serves the public API over REST: grpc-gateway in front of the
// orchestrator's own gRPC server (its in-process handlers cannot stream), the OpenAPI
// document, health, readiness and an index.
//
// It defines the JSON form: lowerCamelCase names, every field present, 64-bit integers as
// strings, unknown fields rejected. An error is always
// {"error":{"code","status","message","details"}} with the canonical gRPC code and the
// details of google.rpc.Status. A stream is one {"result":…} per line, or server-sent
// events; a stream that fails ends with a line {"error":…}.
//
// It authenticates the caller, by key or by session cookie, before it reads anything else,
// and passes the caller to the gRPC side, which checks the role for each call. A change
// with the cookie needs the session's CSRF token. Browsers are only served from the same
// origin, and a loopback listener only accepts requests to loopback names.
package gateway
