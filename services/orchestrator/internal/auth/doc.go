// Package auth defines who may do what: roles, keys, sessions of the console, the limit of
// invalid keys, and what the audit trail stores about a change. It stores nothing and reads
// no clock; package access does.
package auth
