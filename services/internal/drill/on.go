//go:build drill

package drill

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Enabled reports whether the program was built for drills.
const Enabled = true

var (
	mu     sync.Mutex
	passed int
)

// Point kills the process with SIGKILL when AFTERBELL_DRILL_CRASH names it, as
// "universe.commit", "universe.commit:3" for the third passing, or
// "universe.checkpoint:1:2ms" for that time after it, in the midst of what follows.
func Point(name string) {
	parts := strings.Split(os.Getenv("AFTERBELL_DRILL_CRASH"), ":")
	if parts[0] != name {
		return
	}
	mu.Lock()
	defer mu.Unlock()
	passed++
	if len(parts) > 1 {
		if n, err := strconv.Atoi(parts[1]); err != nil || passed != n {
			return
		}
	}
	if len(parts) > 2 {
		if after, err := time.ParseDuration(parts[2]); err == nil {
			time.AfterFunc(after, die)
			return
		}
	}
	die()
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing after the point may run
}

// Now is the system's clock, which the drills' build sets off by what the file
// named by AFTERBELL_DRILL_CLOCK holds.
func Now() time.Time { return time.Now() }
