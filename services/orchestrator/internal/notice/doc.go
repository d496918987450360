// Package notice holds the rules of what people are told by itself: how an evening
// stands, when that is worth a sentence, the sentence in each language, where it goes,
// and when a delivery that failed is tried again. It does no I/O and reads no clock.
//
// Everything is decided from what the ledger holds, and what was told is in the ledger
// too, so that a process that dies in between tells nothing twice and forgets nothing.
package notice
