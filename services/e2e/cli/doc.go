// Package cli drives the built command afterbell against the built pair.
package cli
