// Package console holds the tests that drive the admin console in a headless Chromium,
// against the built pair and a simulator.
package console
