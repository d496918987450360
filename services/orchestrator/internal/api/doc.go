// Package api is the public gRPC API: it validates requests, calls the part that does the
// work, and converts. It makes no decisions of its own.
//
// Requests are validated field by field, and all invalid fields are reported together. An
// unknown ID is NOT_FOUND; any other invalid value is INVALID_ARGUMENT with the field, the
// problem and what is allowed.
package api
