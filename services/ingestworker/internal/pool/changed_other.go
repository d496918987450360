//go:build !linux

package pool

import "os"

// changed is not known here.
func changed(os.FileInfo) (seconds, nanoseconds int64) { return 0, 0 }
