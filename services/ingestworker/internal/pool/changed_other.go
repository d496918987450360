//go:build !linux

package pool

import "os"

// changed is not available on this system.
func changed(os.FileInfo) (seconds, nanoseconds int64) { return 0, 0 }
