package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// LockName is the file whose lock says that an orchestrator uses the directory. It
// holds that process's pid, and stays behind when the process ends: the lock
// itself is the kernel's and ends with the process, however it dies.
const LockName = "orchestrator.lock"

func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, LockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, openFault(filepath.Join(dir, FileName), err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, openFault(path, err)
		}
		text, _ := io.ReadAll(io.LimitReader(f, 20)) // without a pid the message still says enough
		pid := strings.TrimSpace(string(text))
		if _, err := strconv.Atoi(pid); err != nil {
			pid = "unknown"
		}
		return nil, fault.New(fault.DataDirLocked,
			fmt.Sprintf("%s is in use by another orchestrator (pid %s); stop it, or use another --data-dir.", dir, pid),
			"path", dir, "holder_pid", pid)
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(openFault(filepath.Join(dir, FileName), err), f.Close())
	}
	return f, nil
}

func writePID(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}
