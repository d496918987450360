// Package ingest brings one partition from the provider into a pool: fetch, check
// every row, judge the whole against what is expected, commit. It knows nothing of
// runs, retries or schedules; what it is told to do it does once and reports.
//
// A batch lives from its fetch to its commit and no longer, so memory is bounded
// by how many partitions are in progress, whatever the length of the backlog.
package ingest
