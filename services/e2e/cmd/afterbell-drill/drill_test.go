package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
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

func TestOverlayFitsThisGo(t *testing.T) {
	dir := t.TempDir()
	if err := writeOverlay(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "overlay.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	for std, path := range list.Replace {
		source, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(source, []byte("skewed(sec")) {
			t.Errorf("%s is replaced by %s, which does not set the clock off (%v)", std, path, err)
		}
	}
	if len(list.Replace) != 2 {
		t.Errorf("%d files are replaced, want 2", len(list.Replace))
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
