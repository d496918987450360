// Package openapi holds the REST description generated from the contracts.
package openapi

import _ "embed"

// JSON is the OpenAPI 2.0 document of the public API.
//
//go:embed afterbell.swagger.json
var JSON []byte
