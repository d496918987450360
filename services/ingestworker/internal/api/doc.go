// Package api serves afterbell.ingest.v1: it converts requests and responses between the
// contract and the types of the worker's packages. It makes no decisions.
package api
