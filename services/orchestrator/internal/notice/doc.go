// Package notice decides which notices are sent: how complete an evening is, when a notice
// is due, its text in each language, its channels, and when a failed delivery is retried.
// It does no I/O and reads no clock.
//
// All decisions depend on the ledger only, and sent notices are stored there, too. So a
// process that is killed in between sends nothing twice and forgets nothing.
package notice
