package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// width is the largest width of a line; terminals have at least this width.
const width = 80

// screen is the output. On a terminal, the next drawing replaces the lines of the last one, unless
// something was written meanwhile.
type screen struct {
	out      io.Writer
	terminal bool

	mu    sync.Mutex
	drawn int
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if f, ok := out.(*os.File); ok && os.Getenv("TERM") != "dumb" {
		if info, err := f.Stat(); err == nil {
			s.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	return s
}

// Write appends text.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn = 0
	return s.out.Write(p)
}

// draw replaces the lines of the last drawing. The lines of the last call stay.
func (s *screen) draw(lines []string, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", s.drawn)
	}
	if !last { // a line that wraps would be two lines, and the next drawing would miss them
		b.WriteString("\x1b[?7l")
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	if s.drawn = 0; !last {
		b.WriteString("\x1b[?7h")
		s.drawn = len(lines)
	}
	_, _ = io.WriteString(s.out, b.String())
}

// wrap breaks sentences into lines of at most the width, each with the indent. A command has its
// own line and is not broken, so that it can be copied.
func wrap(text, indent string) (lines []string) {
	before, command := text, ""
	if i := strings.Index(text, "curl "); i >= 0 {
		before, command = text[:i], text[i:]
	}
	command, after, _ := strings.Cut(command, " ; ")
	lines = fold(before, indent)
	if command != "" {
		lines = append(lines, indent+command)
	}
	return append(lines, fold(after, indent)...)
}

func fold(text, indent string) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = indent + word
		case columns(line)+1+columns(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), indent+word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// columns returns the width of a text on a terminal; Chinese characters are two columns wide.
func columns(s string) (n int) {
	for _, r := range s {
		if n++; r >= 0x2e80 {
			n++
		}
	}
	return n
}
