// Package docs tests what the documents of the project promise: that the examples of
// CONTRIBUTING.md work, and that what the documents name exists.
package docs
