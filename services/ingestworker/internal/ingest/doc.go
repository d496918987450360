// Package ingest brings one partition from the provider into a pool: fetch, check every
// row, judge the whole against what is expected, commit. It knows nothing about runs,
// retries or schedules: it does one partition once and returns the result.
//
// A batch exists only from its fetch to its commit, so memory is limited by the number of
// partitions in progress, whatever the length of the backlog.
package ingest
