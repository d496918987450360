// Package gateway serves the public API over REST: grpc-gateway in front of the
// orchestrator's own gRPC server (its in-process handlers cannot stream), the
// OpenAPI document, health, readiness and an index.
//
// It decides the JSON form once: lowerCamelCase names, every field present, 64-bit
// integers as strings, unknown fields refused. An error is always
// {"error":{"code","status","message","details"}} with the canonical gRPC code and
// the details of google.rpc.Status. A stream is one {"result":…} per line, or
// server-sent events; a stream that breaks ends in a line {"error":…}.
//
// It finds out who calls, by key or by the cookie of a session, before it reads
// anything else, and tells the gRPC side, which asks for the role of each call. A
// change by cookie needs the session's CSRF token. Browsers are answered from the same
// origin only, and a listener on loopback answers requests to loopback names only.
package gateway
