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

	skewSource = `package time

import "syscall"

// skewed adds the duration that the file named by AFTERBELL_DRILL_CLOCK holds at
// this moment, as in "-2h3m".
func skewed(sec int64, nsec int32) (int64, int32) {
	name, ok := syscall.Getenv("AFTERBELL_DRILL_CLOCK")
	if !ok || name == "" {
		return sec, nsec
	}
	fd, err := open(name)
	if err != nil {
		return sec, nsec
	}
	var text [64]byte
	n, err := read(fd, text[:])
	closefd(fd)
	if err != nil || n <= 0 {
		return sec, nsec
	}
	d, err := ParseDuration(string(text[:n]))
	if err != nil {
		return sec, nsec
	}
	total := int64(nsec) + int64(d%Second)
	sec += int64(d / Second)
	switch {
	case total < 0:
		sec, total = sec-1, total+int64(Second)
	case total >= int64(Second):
		sec, total = sec+1, total-int64(Second)
	}
	return sec, int32(total)
}
`
)

// writeOverlay writes a file for go build's -overlay that sets the clock off.
func writeOverlay(dir string) error {
	out, err := exec.Command("go", "env", "GOROOT").Output()
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
