// Package tushare is the client of the Tushare Pro HTTP API and the only room
// that knows its protocol, codes and texts. It turns a query into rows as
// columns, page by page, and every failure into a fault, classified once.
//
// It knows nothing of partitions, coverage or completeness: rows of another date
// or fewer rows than expected are the caller's to judge. A token passes through
// it into the body of a request and nowhere else; provider text that repeats the
// token is scrubbed before it is quoted.
package tushare
