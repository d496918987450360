package main

import (
	"errors"
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
//
// Only package time is compiled for it, and the linker takes it in place of Go's. The
// other packages are those of every build.

const (
	systemClock = "sec, nsec, mono := runtimeNow()\n"
	skewedClock = "sec, nsec, mono := runtimeNow(); sec, nsec = skewed(sec, nsec)\n"

	// Other packages refer by number to what package time defines, but by name to what has
	// a linkname. So that no number changes, the file is the last of the package, imports
	// nothing that the package does not, and gives a linkname to each new name. The linker
	// refuses the package if a number did change.
	skewFile   = "zskew.go"
	skewSource = `package time

import (
	"syscall"
	"unsafe"
)

// skew is what is added to the clock, in nanoseconds; nil for nothing.
//
//go:linkname skew
var skew = mapped()

// mapped maps the file into memory, because the clock is also read where no system call
// may be made.
//
//go:linkname mapped
func mapped() *int64 {
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
}

//go:linkname skewed
func skewed(sec int64, nsec int32) (int64, int32) {
	if skew == nil {
		return sec, nsec
	}
	// One word is read as a whole, also while another process writes it.
	total := sec*1e9 + int64(nsec) + *skew
	return total / 1e9, int32(total % 1e9)
}
`

	// toolexec runs each tool that go build starts. The version of the linker, which it
	// adds to, tells go build that the programs are not those linked with Go's clock.
	toolexec = `#!/bin/sh
set -e
tool=$1
shift
if [ "${tool##*/}" = link ]; then
	if [ "$1" = -V=full ]; then
		echo "$("$tool" -V=full) clock $(cksum <'%[1]s')"
		exit
	fi
	previous=
	for arg; do
		[ "$previous" != -importcfg ] || sed -i.std 's|^packagefile time=.*|packagefile time=%[1]s|' "$arg"
		previous=$arg
	done
fi
exec "$tool" "$@"
`
)

// writeClock writes into the folder the package time whose clock can be set off, and the
// program for go build's -toolexec that links it, whose path it returns.
func writeClock(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	where, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	goroot := strings.TrimSpace(string(where))
	patched := filepath.Join(dir, "goroot")
	if err := errors.Join(os.RemoveAll(patched), link(goroot, patched, "src"), link(filepath.Join(goroot, "src"), filepath.Join(patched, "src"), "time")); err != nil {
		return "", err
	}
	if err := patchTime(filepath.Join(goroot, "src", "time"), filepath.Join(patched, "src", "time")); err != nil {
		return "", err
	}
	build := exec.Command(filepath.Join(goroot, "bin", "go"), "list", "-export", "-f", "{{.Export}}", "time")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOROOT="+patched, "GOTOOLCHAIN=local", "GOWORK=off")
	build.Stderr = os.Stderr
	built, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("compiling package time: %w", err)
	}
	object, err := os.ReadFile(strings.TrimSpace(string(built)))
	if err != nil {
		return "", err
	}
	archive, script := filepath.Join(dir, "time.a"), filepath.Join(dir, "toolexec.sh")
	return script, errors.Join(os.WriteFile(archive, object, 0o644),
		os.WriteFile(script, fmt.Appendf(nil, toolexec, archive), 0o755), os.Chmod(script, 0o755))
}

// link fills a new folder with links to what is in another, but for one name.
func link(from, to, except string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == except {
			continue
		}
		if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// patchTime fills a new folder with package time, whose clock can be set off.
func patchTime(from, to string) error {
	source, err := os.ReadFile(filepath.Join(from, "time.go"))
	if err != nil {
		return err
	}
	patched := strings.Replace(string(source), systemClock, skewedClock, 1)
	if patched == string(source) {
		return fmt.Errorf("%s does not read the clock as this program knows it; adapt systemClock to this Go version", filepath.Join(from, "time.go"))
	}
	if err := link(from, to, "time.go"); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(to, "time.go"), []byte(patched), 0o644),
		os.WriteFile(filepath.Join(to, skewFile), []byte(skewSource), 0o644))
}
