package tushare

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// errShort means that the buffered bytes end before the value does.
var errShort = errors.New("value is not complete")

// malformedError says why a body is not the documented envelope. Its text has a position
// and never quotes the body.
type malformedError struct {
	at   int64
	what string
}

func (e *malformedError) Error() string { return fmt.Sprintf("%s at byte %d", e.what, e.at) }

// malformed returns an error at an index of the unread bytes. The scanner adds the
// position of the first unread byte.
func malformed(i int, what string) error { return &malformedError{int64(i), what} }

const (
	readSize = 128 << 10
	maxDepth = 64
)

// scanner reads a body in pieces. A function that reads a value gets the unread bytes as
// one slice. If it returns errShort, it is called again at the same position with more
// bytes, so it must not change any state before it succeeds.
type scanner struct {
	r        io.Reader
	buf      []byte
	pos, end int
	passed   int64 // bytes before buf[0]
	limit    int64 // most bytes of the body
	eof      bool
}

func (s *scanner) reset(r io.Reader, limit int64) {
	if s.buf == nil {
		s.buf = make([]byte, readSize)
	}
	*s = scanner{r: r, buf: s.buf, limit: limit}
}

// window returns the unread bytes.
func (s *scanner) window() []byte { return s.buf[s.pos:s.end] }

// more at least doubles the unread bytes, unless the body ends before. So starting over
// costs at most as much as reading everything twice.
func (s *scanner) more() error {
	if s.eof {
		return s.fail(malformed(s.end-s.pos, "body ends too early"))
	}
	have := s.end - s.pos
	if s.pos > 0 {
		copy(s.buf, s.buf[s.pos:s.end])
		s.passed += int64(s.pos)
		s.pos, s.end = 0, have
	}
	want := max(1, have)
	if len(s.buf) < have+max(want, readSize/2) {
		grown := make([]byte, max(2*len(s.buf), have+want))
		copy(grown, s.buf[:have])
		s.buf = grown
	}
	for got := 0; got < want; {
		n, err := s.r.Read(s.buf[s.end:])
		s.end, got = s.end+n, got+n
		if s.passed+int64(s.end) > s.limit {
			return &malformedError{s.limit, fmt.Sprintf("body is larger than %d bytes", s.limit)}
		}
		if err == io.EOF {
			s.eof = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fail converts the index in err to a position in the body.
func (s *scanner) fail(err error) error {
	var m *malformedError
	if errors.As(err, &m) {
		return &malformedError{s.passed + int64(s.pos) + m.at, m.what}
	}
	return err
}

// value reads one value with f, which returns the index after the value.
func (s *scanner) value(f func(b []byte) (int, error)) error {
	for {
		n, err := f(s.window())
		switch err {
		case nil:
			s.pos += n
			return nil
		case errShort:
			if err := s.more(); err != nil {
				return err
			}
		default:
			return s.fail(err)
		}
	}
}

// peek skips white space and returns the next byte without reading it.
func (s *scanner) peek() (byte, error) {
	for {
		s.pos += skipSpace(s.window(), 0)
		if s.pos < s.end {
			return s.buf[s.pos], nil
		}
		if err := s.more(); err != nil {
			return 0, err
		}
	}
}

// take skips white space and reads one byte, which must be want.
func (s *scanner) take(want byte) error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	if c != want {
		return s.fail(malformed(0, fmt.Sprintf("%q instead of %q", c, want)))
	}
	s.pos++
	return nil
}

// finish checks that only white space is left.
func (s *scanner) finish() error {
	for {
		s.pos += skipSpace(s.window(), 0)
		if s.pos < s.end {
			return s.fail(malformed(0, "bytes after the end of the object"))
		}
		if s.eof {
			return nil
		}
		if err := s.more(); err != nil {
			return err
		}
	}
}

// object reads an object. It calls member after each colon; member must read the value.
func (s *scanner) object(member func(key string) error) error {
	if err := s.take('{'); err != nil {
		return err
	}
	c, err := s.peek()
	if err != nil {
		return err
	}
	if c == '}' {
		s.pos++
		return nil
	}
	for {
		var key string
		if _, err := s.peek(); err != nil {
			return err
		}
		if err := s.value(func(b []byte) (int, error) {
			raw, escaped, n, err := scanString(b, 0)
			if err == nil {
				key = text(raw, escaped)
			}
			return n, err
		}); err != nil {
			return err
		}
		if err := s.take(':'); err != nil {
			return err
		}
		if _, err := s.peek(); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if c, err = s.peek(); err != nil {
			return err
		}
		s.pos++
		switch c {
		case ',':
		case '}':
			return nil
		default:
			s.pos--
			return s.fail(malformed(0, fmt.Sprintf("%q instead of ',' or '}'", c)))
		}
	}
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// scanString reads a string that begins at i. raw is the text between the quotes; escaped
// reports whether it has escapes.
func scanString(b []byte, i int) (raw []byte, escaped bool, next int, err error) {
	if i >= len(b) {
		return nil, false, i, errShort
	}
	if b[i] != '"' {
		return nil, false, i, malformed(i, "a string is missing")
	}
	i++
	start, high := i, false
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			raw = b[start:i]
			if high && !utf8.Valid(raw) {
				return nil, false, i, malformed(start, "text that is not UTF-8")
			}
			return raw, escaped, i + 1, nil
		case c == '\\':
			escaped = true
			n, err := scanEscape(b, i)
			if err != nil {
				return nil, false, i, err
			}
			i = n
		case c < ' ':
			return nil, false, i, malformed(i, "control character in a string")
		default:
			high = high || c >= utf8.RuneSelf
			i++
		}
	}
	return nil, false, i, errShort
}

func scanEscape(b []byte, i int) (int, error) {
	if i+1 >= len(b) {
		return i, errShort
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2, nil
	case 'u':
		for k := i + 2; k < i+6; k++ {
			if k >= len(b) {
				return i, errShort
			}
			if hex(b[k]) < 0 {
				return i, malformed(k, "invalid escape")
			}
		}
		return i + 6, nil
	}
	return i, malformed(i, "invalid escape")
}

func hex(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

func hex4(b []byte) rune { return hex(b[0])<<12 | hex(b[1])<<8 | hex(b[2])<<4 | hex(b[3]) }

// text returns the value of a scanned string. Half a surrogate pair becomes U+FFFD.
func text(raw []byte, escaped bool) string {
	if !escaped {
		return string(raw)
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		i++
		switch c := raw[i]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
					pair = utf16.DecodeRune(r, hex4(raw[i+3:]))
				}
				if r = utf8.RuneError; pair != utf8.RuneError {
					r, i = pair, i+6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
		i++
	}
	return string(out)
}

// skipValue skips the value that begins at i and checks that it is JSON.
func skipValue(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return i, errShort
	}
	if depth > maxDepth {
		return i, malformed(i, "too many nested values")
	}
	switch c := b[i]; c {
	case '"':
		_, _, n, err := scanString(b, i)
		return n, err
	case '[', '{':
		i = skipSpace(b, i+1)
		if i >= len(b) {
			return i, errShort
		}
		if b[i] == c+2 { // in ASCII, ] is [ + 2 and } is { + 2
			return i + 1, nil
		}
		for {
			var err error
			if c == '{' {
				if _, _, i, err = scanString(b, skipSpace(b, i)); err != nil {
					return i, err
				}
				if i = skipSpace(b, i); i >= len(b) {
					return i, errShort
				}
				if b[i] != ':' {
					return i, malformed(i, "a colon is missing")
				}
				i++
			}
			if i, err = skipValue(b, skipSpace(b, i), depth+1); err != nil {
				return i, err
			}
			if i = skipSpace(b, i); i >= len(b) {
				return i, errShort
			}
			switch b[i] {
			case c + 2:
				return i + 1, nil
			case ',':
				i++
			default:
				return i, malformed(i, "a comma is missing")
			}
		}
	case 't':
		return literal(b, i, "true")
	case 'f':
		return literal(b, i, "false")
	case 'n':
		return literal(b, i, "null")
	default:
		_, n, err := scanNumber(b, i)
		if err == errRange {
			err = nil
		}
		return n, err
	}
}

func literal(b []byte, i int, word string) (int, error) {
	for k := range len(word) {
		if i+k >= len(b) {
			return i, errShort
		}
		if b[i+k] != word[k] {
			return i, malformed(i, "invalid JSON value")
		}
	}
	return i + len(word), nil
}
