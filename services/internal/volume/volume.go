//go:build unix

// Package volume returns the free space of a volume.
package volume

import (
	"path/filepath"
	"syscall"
)

// FreeBytes is the free space on the volume of path, for an unprivileged user. The
// directory of path must exist; path itself need not.
func FreeBytes(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
