// Package tushare is the client of the Tushare Pro HTTP API. Only this package knows its
// protocol, codes and texts. It turns a query into rows by column, page by page, and
// classifies every failure as a fault.
//
// It knows nothing about partitions, coverage or completeness: rows of another date, or
// fewer rows than expected, are judged by the caller. The token is only written to the body
// of a request; it is scrubbed from the provider's text before that is quoted.
package tushare
