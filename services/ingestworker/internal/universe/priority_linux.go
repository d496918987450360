package universe

import (
	"errors"
	"os"
	"strconv"
	"syscall"
)

// yielding is how much nicer the other threads of the process become than the writer's.
const yielding = 5

// goFirst gives the calling thread priority over the other threads of the process, also over
// those that are created later, because these inherit it. Commits are written one after the
// other, so all that is fetched waits for the writer; without priority it waits for a
// processor for a third of a fill.
func goFirst() error {
	self := syscall.Gettid()
	own, err := syscall.Getpriority(syscall.PRIO_PROCESS, self)
	if err != nil {
		return err
	}
	nice := min(19, 20-own+yielding) // the system call returns 20 - nice
	var failed error
	for range 2 { // a thread may have been created during the first round
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil || id == self {
				continue
			}
			if err := syscall.Setpriority(syscall.PRIO_PROCESS, id, nice); err != nil && !errors.Is(err, syscall.ESRCH) { // it has ended
				failed = err
			}
		}
	}
	return failed
}
