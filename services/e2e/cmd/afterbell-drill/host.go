package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Drills that mount file systems need root. Otherwise they are skipped, and the table says so.

func mount(args ...string) error {
	out, err := exec.Command("mount", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// volume mounts a small file system at dir until the end of the drill. ok is false, and the drill is
// skipped, if that is not allowed.
func (r *harness) volume(dir string, megabytes int) (ok bool) {
	if r.err != nil {
		return false
	}
	if r.must(os.MkdirAll(dir, 0o755)); r.err != nil {
		return false
	}
	if os.Geteuid() != 0 {
		r.skipped = "mounting a small volume needs root"
		return false
	}
	if err := mount("-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", megabytes), "tmpfs", dir); err != nil {
		r.skipped = err.Error()
		return false
	}
	r.undo = append(r.undo, func() error { return syscall.Unmount(dir, syscall.MNT_DETACH) })
	return true
}

// readOnlyFile mounts a file on itself, read-only, so that root cannot write it either.
func (r *harness) readOnlyFile(path string) (lift func(), ok bool) {
	if r.err != nil {
		return nil, false
	}
	if os.Geteuid() != 0 {
		r.skipped = "a read-only mount needs root"
		return nil, false
	}
	if err := mount("--bind", path, path); err != nil {
		r.skipped = err.Error()
		return nil, false
	}
	lifted := false
	lift = func() {
		if !lifted {
			lifted = true
			r.must(syscall.Unmount(path, syscall.MNT_DETACH))
		}
	}
	r.undo = append(r.undo, func() error { lift(); return nil })
	if err := mount("-o", "remount,ro,bind", path); err != nil {
		r.skipped = err.Error()
		return nil, false
	}
	return lift, true
}

// fill uses all free bytes of the volume of dir until the returned file is removed.
func (r *harness) fill(dir string) string {
	path := filepath.Join(dir, "ballast")
	if r.err != nil {
		return path
	}
	f, err := os.Create(path)
	if r.must(err); err != nil {
		return path
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 4 {
		block := make([]byte, size)
		for {
			if _, err := f.Write(block); err != nil {
				break // full for blocks of this size
			}
		}
	}
	return path
}

// spoil overwrites a part of a file with random bytes.
func (r *harness) spoil(path string, at, n int64) {
	if r.err != nil {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if r.must(err); err != nil {
		return
	}
	defer f.Close()
	noise := make([]byte, n)
	for i := range noise {
		noise[i] = byte(i*i*31 + i*7 + 13)
	}
	_, err = f.WriteAt(noise, at)
	r.must(err)
}

// aside moves a file and its logs away, as a message advises.
func (r *harness) aside(path string) {
	for _, suffix := range []string{"", ".wal", "-wal", "-shm"} {
		err := os.Rename(path+suffix, path+".aside"+suffix)
		if err != nil && !os.IsNotExist(err) {
			r.must(err)
		}
	}
}
