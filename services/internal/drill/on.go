//go:build drill

package drill

import (
	"os"
	"path/filepath"
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

// Point kills the process with SIGKILL if AFTERBELL_DRILL_CRASH names it:
// "universe.commit", "universe.commit:3" for the third time, or "universe.checkpoint:1:2ms"
// for that time after it, in the middle of what follows.
//
// While the directory in AFTERBELL_DRILL_HOLD has a file with the point's name, the process
// waits there and creates a file with the suffix ".reached".
func Point(name string) {
	hold(name)
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

func hold(name string) {
	dir := os.Getenv("AFTERBELL_DRILL_HOLD")
	if dir == "" {
		return
	}
	file := filepath.Join(dir, name)
	if _, err := os.Stat(file); err != nil {
		return
	}
	if err := os.WriteFile(file+".reached", nil, 0o644); err != nil {
		return // the drill finds out that nothing waits
	}
	for {
		if _, err := os.Stat(file); err != nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing after the point may run
}

// Now is the system's clock, which the drills' build shifts by the content of the file in
// AFTERBELL_DRILL_CLOCK.
func Now() time.Time { return time.Now() }
