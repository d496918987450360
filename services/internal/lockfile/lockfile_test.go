package lockfile

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/internal/fault"
)

const childDir = "LOCKFILE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		_, err := Dir(dir, "service")
		fmt.Println("held", err)
		_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the test kills it
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLockIsOneProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	lock, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	var held *LockedError
	if _, err := Acquire(path); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("got %v, want this process as the holder", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if lock, err = Acquire(path); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lock.Release(), (*Lock)(nil).Release()); err != nil {
		t.Fatal(err)
	}
}

func TestLockEndsWithItsProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held <nil>\n" {
		t.Errorf("the child said %q", line)
	}
	pid := strconv.Itoa(child.Process.Pid)
	_, err = Dir(dir, "service")
	if f, ok := fault.As(err); !ok || f.Reason != fault.DataDirLocked || f.Meta["holder_pid"] != pid ||
		!strings.Contains(f.Message, pid) || !strings.Contains(f.Message, dir) {
		t.Errorf("got %v, want DATA_DIR_LOCKED with pid %s", err, pid)
	}
	other, err := Dir(dir, "another")
	if err != nil {
		t.Errorf("another service in the same directory: %v", err)
	}
	if err := errors.Join(child.Process.Kill(), other.Release()); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	l, err := Dir(dir, "service")
	if err != nil {
		t.Fatalf("after the holder was killed: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownHolderIsSaidToBeUnknown(t *testing.T) {
	dir := t.TempDir()
	l, err := Dir(dir, "service")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "service"+Suffix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Dir(dir, "service")
	if f, ok := fault.As(err); !ok || f.Reason != fault.DataDirLocked || !strings.Contains(f.Message, "pid unknown") {
		t.Errorf("got %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestUnusableDirectoryIsNamed(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(root, "dangling")
	if err := os.Symlink(filepath.Join(root, "nowhere"), dangling); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "sub"), dangling} {
		_, err := Dir(dir, "service")
		if f, ok := fault.As(err); !ok || f.Reason != fault.InvalidArgument || f.Meta["field"] != "data-dir" || !strings.Contains(f.Message, dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
