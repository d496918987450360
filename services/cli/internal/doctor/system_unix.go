//go:build unix

package doctor

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// posix is whether files have the rights of owner, group and others.
const posix = true

// freeBytes is the room that this user has on the volume of a directory.
func freeBytes(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}

// writable reports whether this user may write to a path.
func writable(path string) bool { return unix.Access(path, unix.W_OK) == nil }

// alive reports whether a process exists.
func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
