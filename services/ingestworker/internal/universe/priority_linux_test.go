package universe

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestTheWriterGoesFirst compares the priorities of threads in a process of its own, whose
// threads keep them.
func TestTheWriterGoesFirst(t *testing.T) {
	const child = "AFTERBELL_TEST_GO_FIRST"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestTheWriterGoesFirst$", "-test.count=1")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return
	}
	runtime.LockOSThread()
	self := strconv.Itoa(syscall.Gettid())
	before := niceOf(t, self)
	if err := goFirst(); err != nil {
		t.Fatal(err)
	}
	hold, held := make(chan struct{}), make(chan struct{})
	for range 3 { // threads that are created afterwards
		go func() {
			runtime.LockOSThread()
			held <- struct{}{}
			<-hold
		}()
		<-held
	}
	defer close(hold)
	if now := niceOf(t, self); now != before {
		t.Errorf("the writer's nice value is %d and was %d", now, before)
	}
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(threads) < 4 {
		t.Fatalf("threads %v, %v", threads, err)
	}
	for _, thread := range threads {
		id := filepath.Base(thread)
		if id == self {
			continue
		}
		if nice := niceOf(t, id); nice != min(19, before+yielding) && nice != ended {
			t.Errorf("thread %s has the nice value %d, and the writer %d", id, nice, before)
		}
	}
}

// ended is returned by niceOf for a thread that has ended.
const ended = 100

func niceOf(t *testing.T, thread string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/task/" + thread + "/stat")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return ended
	}
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	nice, err := strconv.Atoi(fields[16]) // the 19th of the line
	if err != nil {
		t.Fatal(err)
	}
	return nice
}
