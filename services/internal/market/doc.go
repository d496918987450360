// Package market holds the words both services speak: pools, trade dates,
// symbols and the rules read off them. It does no I/O and reads no clock.
package market
