package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEveryDrillSaysWhatItDoes(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range drills(options{evenings: 60}) {
		if seen[d.name] {
			t.Errorf("two drills are called %s", d.name)
		}
		seen[d.name] = true
		if d.name == "" || d.fault == "" || d.expect == "" || d.do == nil {
			t.Errorf("drill %q lacks its fault, what is expected or what it does", d.name)
		}
	}
	if len(seen) < 50 {
		t.Errorf("only %d drills", len(seen))
	}
}

func TestListNamesTheChosen(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--list", "--only", "^ledger-"}, &out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "ledger-corrupt ") {
		t.Errorf("listed %q", got)
	}
}

func TestFlagsThatCannotBe(t *testing.T) {
	for _, args := range [][]string{{"--only", "("}, {"--parallel", "0"}, {"--seeds", "-1"}, {"--evenings", "0"}, {"crash"}} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%v is accepted", args)
		}
	}
}

// TestBuiltClockIsSet builds a program like the programs under drill. It fails if the clock does not
// work with this release of Go.
func TestBuiltClockIsSet(t *testing.T) {
	dir := t.TempDir()
	toolexec, err := writeClock(filepath.Join(dir, "clock"))
	if err != nil {
		t.Fatal(err)
	}
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "now")
	if err := os.WriteFile(source, []byte(`package main

import "time"

// A variable of a package is set before main starts.
var start = time.Now()

func main() {
	monotonic := time.Since(start)
	println(start.UnixNano(), time.Now().UnixNano(), monotonic)
}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-toolexec", toolexec, "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := &clock{file: filepath.Join(dir, "skew")}
	if err := c.Jump(-48*time.Hour - time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		env string
		off time.Duration
	}{{"", 0}, {"AFTERBELL_DRILL_CLOCK=" + c.file, c.offset}} {
		run := exec.Command(program)
		run.Env = append(os.Environ(), x.env)
		before := time.Now()
		out, err := run.CombinedOutput()
		after := time.Now()
		var start, now, monotonic int64
		if _, scan := fmt.Sscan(string(out), &start, &now, &monotonic); err != nil || scan != nil {
			t.Fatalf("%q: %v, %v\n%s", x.env, err, scan, out)
		}
		if start < before.Add(x.off).UnixNano() || now < start || after.Add(x.off).UnixNano() < now {
			t.Errorf("%q: the program reads %d and %d, want times from %d to %d", x.env, start, now, before.Add(x.off).UnixNano(), after.Add(x.off).UnixNano())
		}
		if monotonic < 0 || time.Duration(monotonic) > after.Sub(before) {
			t.Errorf("%q: the monotonic clock moved by %d ns", x.env, monotonic)
		}
	}
}

func TestClockIsSetForAll(t *testing.T) {
	c := &clock{file: filepath.Join(t.TempDir(), "clock")}
	if err := c.Set(evening(19, 30, 0)); err != nil {
		t.Fatal(err)
	}
	if err := c.Jump(-2 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if off := c.Now().Sub(evening(17, 30, 0)); off < 0 || off > time.Minute {
		t.Errorf("the clock is off by %s", off)
	}
	if info, err := os.Stat(c.file); err != nil || info.Size() != 8 {
		t.Errorf("the programs would read %v, %v", info, err)
	}
}

func TestRelayCuts(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	r, err := newRelay(echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for range 2 { // after a cut, a new connection is passed on
		c, err := net.Dial("tcp", r.addr())
		if err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4)
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "ping" {
			t.Fatalf("answered %q, %v", answer, err)
		}
		r.cut()
		if _, err := c.Read(answer); err == nil {
			t.Error("the connection outlives the cut")
		}
		c.Close()
	}
}
