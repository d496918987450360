// Package stack starts the built programs as processes of their own, for the
// end-to-end tests, the benchmark, the drills and `make run`. It knows flags, log
// lines and signals, and nothing of what the programs do.
package stack

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a running program.
type Process struct {
	// Name is the program's file name.
	Name string
	// LogPath is the file of its output.
	LogPath string

	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu    sync.Mutex
	addrs map[string]string
	tail  []string
	heard chan struct{}
}

// startTimeout bounds how long a program may take until it listens.
const startTimeout = 60 * time.Second

// Start runs bin/name with args and env (added to this process's own), appending
// its output to logPath, and returns once it has said that it listens on every
// name in listens ("grpc", "http"; programs with one address say "").
func Start(ctx context.Context, bin, name, logPath string, args, env []string, listens ...string) (*Process, error) {
	if err := os.MkdirAll(filepath.Dir(logPath), 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	cmd := exec.Command(filepath.Join(bin, name), args...)
	// The address of a program is read from its log, so the environment must not change the
	// format.
	cmd.Env = append(append(os.Environ(), env...), "AFTERBELL_LOG_FORMAT=json")
	if level := os.Getenv("AFTERBELL_LOG_LEVEL"); level != "debug" {
		cmd.Env = append(cmd.Env, "AFTERBELL_LOG_LEVEL=info")
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	// A process group of its own, so that an interrupt at the terminal reaches the
	// starter only, which then stops its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{
		Name: name, LogPath: logPath, cmd: cmd, done: make(chan struct{}),
		addrs: map[string]string{}, heard: make(chan struct{}, 1),
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, reader.Close(), writer.Close(), log.Close())
	}
	_ = writer.Close() // the child has its own copy
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		p.follow(reader, log)
	}()
	go func() {
		p.err = cmd.Wait()
		<-followed // its last lines say why it ended
		close(p.done)
	}()
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	for {
		if p.listening(listens) {
			return p, nil
		}
		select {
		case <-p.heard:
		case <-p.done:
			return nil, fmt.Errorf("%s exited immediately (%w); its log is %s; its last line: %s", name, p.err, logPath, p.lastLine())
		case <-deadline.C:
			p.Kill()
			return nil, fmt.Errorf("%s did not listen within %s: %s", name, startTimeout, p.Tail())
		case <-ctx.Done():
			p.Kill()
			return nil, ctx.Err()
		}
	}
}

func (p *Process) follow(r io.ReadCloser, log io.WriteCloser) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		_, _ = io.WriteString(log, line+"\n")
		p.note(line)
	}
	_ = r.Close()
	_ = log.Close()
}

func (p *Process) note(line string) {
	p.mu.Lock()
	p.tail = append(p.tail, line)
	if len(p.tail) > 12 {
		p.tail = p.tail[1:]
	}
	var said struct{ Msg, Addr, Protocol string }
	if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "listening" {
		p.addrs[said.Protocol] = said.Addr
	}
	p.mu.Unlock()
	select {
	case p.heard <- struct{}{}:
	default:
	}
}

func (p *Process) listening(names []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range names {
		if p.addrs[n] == "" {
			return false
		}
	}
	return true
}

// Addr is the address that the program said it listens on, by protocol.
func (p *Process) Addr(protocol string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addrs[protocol]
}

// Tail is the last lines that the program wrote.
func (p *Process) Tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// Pid is the operating system's number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended describes how the process ended, with the path of its log and its last lines. It is valid once
// Done is closed.
func (p *Process) Ended() error {
	err := fmt.Errorf("%s exited (%s); its log is %s", p.Name, p.cmd.ProcessState, p.LogPath)
	if p.ExitCode() < 0 {
		return err // a signal leaves no time for last words
	}
	return fmt.Errorf("%w; its last line: %s", err, p.lastLine())
}

func (p *Process) lastLine() string {
	last := p.Tail()
	return last[strings.LastIndexByte(last, '\n')+1:]
}

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode is the process's exit code, -1 when a signal ended it. Valid once Done.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// CPU is the user and system time that the process has used. Valid once Done.
func (p *Process) CPU() time.Duration {
	return p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
}

// Kill ends the process with SIGKILL and waits for it.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Signal sends a signal and does not wait.
func (p *Process) Signal(s os.Signal) { _ = p.cmd.Process.Signal(s) }

// Stop ends the process with SIGTERM and waits; after the grace time it is killed
// and that is the error.
func (p *Process) Stop(grace time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("%s did not stop within %s", p.Name, grace)
	}
}
