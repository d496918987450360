//go:build unix

// Package volume tells how much room is left where a file lies.
package volume

import (
	"path/filepath"
	"syscall"
)

// FreeBytes is the room on the volume that holds path, for a user without privileges.
// The folder of path must exist; path itself need not.
func FreeBytes(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
