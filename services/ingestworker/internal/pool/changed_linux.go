package pool

import (
	"os"
	"syscall"
)

// changed is when anything of a file changed last: its content, its times or its name.
// Unlike the time of its last write, no program can set it, as cp -p sets that.
func changed(info os.FileInfo) (seconds, nanoseconds int64) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0
	}
	return int64(st.Ctim.Sec), int64(st.Ctim.Nsec)
}
