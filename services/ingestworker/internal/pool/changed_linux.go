package pool

import (
	"os"
	"syscall"
)

// changed is the time of the last change to a file's content, times or name. Unlike the
// modification time, no program can set it, as cp -p does.
func changed(info os.FileInfo) (seconds, nanoseconds int64) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return int64(st.Ctim.Sec), int64(st.Ctim.Nsec)
}
