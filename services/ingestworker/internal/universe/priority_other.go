//go:build !linux

package universe

// goFirst does nothing: other systems have no priority for one thread.
func goFirst() error { return nil }
