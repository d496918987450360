// Package catalog describes the provider's data: domains, modules, datasets with their
// columns, due times and floors, and the probes of the modules. It is a table: it does no
// I/O and reads no clock.
package catalog
