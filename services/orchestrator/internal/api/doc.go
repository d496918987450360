// Package api is the public gRPC API: it reads and checks requests, calls the part
// that does the work, and converts. It decides nothing of its own.
//
// What a caller sends is checked field by field, and all that is wrong is told at
// once. Unknown ids are NOT_FOUND; anything else that is wrong is INVALID_ARGUMENT
// with the field, the fault and what is allowed.
package api
