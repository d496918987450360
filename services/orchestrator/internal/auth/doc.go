// Package auth holds the rules of who may do what: roles, keys, sessions of the
// console, the budget of wrong keys, and what the audit trail keeps of a change. It
// stores nothing and reads no clock; package access does.
package auth
