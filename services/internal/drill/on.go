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
// "universe.commit" or, for the third passing, "universe.commit:3".
func Point(name string) {
	at, nth, counted := strings.Cut(os.Getenv("AFTERBELL_DRILL_CRASH"), ":")
	if at != name {
		return
	}
	mu.Lock()
	defer mu.Unlock()
	passed++
	if n, err := strconv.Atoi(nth); counted && (err != nil || passed < n) {
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // nothing after the point may run
}

// Now is the system's clock plus the offset that the file named by
// AFTERBELL_DRILL_CLOCK holds at that moment, as "2h" or "-30m".
func Now() time.Time {
	text, err := os.ReadFile(os.Getenv("AFTERBELL_DRILL_CLOCK"))
	if err != nil {
		return time.Now()
	}
	offset, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return time.Now()
	}
	return time.Now().Add(offset)
}
