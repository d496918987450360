package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The clock of the programs under drill is set off in package time itself: time.Now
// adds what a file holds, and the monotonic clock, on which timers run, is left
// alone. That is what a host does whose clock is set, and no code of the programs
// need know of it.

const (
	systemClock = "sec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
	skewedClock = "sec, nsec, mono := runtimeNow()\n\tsec, nsec = skewed(sec, nsec)\n\tif mono == 0 {"

	// The file is mapped into memory, because the clock is also read where no system
	// call may be made.
	skewSource = `package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// skew is what is added to the clock, in nanoseconds; nil for nothing.
var skew = func() *int64 {
	name, _ := syscall.Getenv("AFTERBELL_DRILL_CLOCK")
	if name == "" {
		return nil
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("AFTERBELL_DRILL_CLOCK: " + err.Error())
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("AFTERBELL_DRILL_CLOCK: " + err.Error())
	}
	return (*int64)(unsafe.Pointer(&page[0]))
}()

func skewed(sec int64, nsec int32) (int64, int32) {
	if skew == nil {
		return sec, nsec
	}
	total := sec*1e9 + int64(nsec) + atomic.LoadInt64(skew)
	return total / 1e9, int32(total % 1e9)
}
`
)

// installedGo keeps to the installed release of Go: one in the module cache cannot be
// overlaid.
const installedGo = "GOTOOLCHAIN=local"

// writeOverlay writes a file for go build's -overlay that sets the clock off.
func writeOverlay(dir string) error {
	where := exec.Command("go", "env", "GOROOT")
	where.Env = append(os.Environ(), installedGo)
	out, err := where.Output()
	if err != nil {
		return fmt.Errorf("go env GOROOT: %w", err)
	}
	std := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(std, "time.go"))
	if err != nil {
		return err
	}
	patched := strings.Replace(string(source), systemClock, skewedClock, 1)
	if patched == string(source) {
		return fmt.Errorf("%s does not read the clock as this program knows it; adapt systemClock to this Go version", filepath.Join(std, "time.go"))
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	replace := map[string]string{}
	for name, text := range map[string]string{"time.go": patched, "skew.go": skewSource} {
		path := filepath.Join(dir, name+".txt")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		replace[filepath.Join(std, name)] = path
	}
	list, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "overlay.json"), append(list, '\n'), 0o644)
}
