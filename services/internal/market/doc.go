// Package market has the basic types of both services: pools, trade dates, symbols, and
// rules about them. It does no I/O and reads no clock.
package market
