// Package catalog is what afterbell knows of the provider's data: domains,
// modules, datasets with their columns, due hours and floors, and the light calls
// that prove a module works. It is a table: it does no I/O and reads no clock.
package catalog
