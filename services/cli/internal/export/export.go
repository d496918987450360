// Package export downloads a table into a file: complete, verified, and of one version. An
// interrupted download is continued.
package export

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Formats are the forms of a table, by the ending of a file.
var Formats = []string{"parquet", "arrow", "csv", "ndjson"}

// Request is a download.
type Request struct {
	// Addr is the orchestrator's REST address, "host:port".
	Addr string
	// TLS is whether Addr is called over TLS.
	TLS bool
	// Key is the API key. Empty means none.
	Key string
	// Table by its name, with Pool before it, as in "universe.daily_prices".
	Table string
	// Format is one of Formats.
	Format string
	// Query has the parameters of the REST API, without version.
	Query url.Values
	// Version to read. Empty means the current one, or that of the partial file.
	Version string
	// Path of the file. The part that came so far is Path with ".part" after it.
	Path string
	// Client makes the calls. Its transport must not decode answers.
	Client *http.Client
	// Progress is called with the number of bytes received, and the total; 0 if unknown.
	Progress func(came, all int64)
	// Restarted is called with the reason why a partial file was discarded.
	Restarted func(reason string)
}

// Result describes the downloaded file.
type Result struct {
	// Version that the rows are of.
	Version string `json:"version"`
	// Rows, counted by the server, and Bytes of the file.
	Rows int64 `json:"rows"`
	// Bytes of the file.
	Bytes int64 `json:"bytes"`
	// Resumed is how many of them an earlier attempt had brought.
	Resumed int64 `json:"resumed"`
	// SHA256 of the file, in hex.
	SHA256 string `json:"sha256"`
	// Complete is false if something is missing; Lacks then names the first.
	Complete bool `json:"complete"`
	// Lacks names what is missing, "daily/2026-11-27" and so on; at most 20.
	Lacks []string `json:"lacks,omitempty"`
	// LackCount is how many there are.
	LackCount int64 `json:"lackCount,omitempty"`
}

// Refused is an answer of the server that is not the table.
type Refused struct {
	// Status is the HTTP status.
	Status int
	// Reason in ErrorInfo, for example "DATA_INCOMPLETE"; empty if there is none.
	Reason string
	// Metadata are the values that the message was built from.
	Metadata map[string]string
	// Message and Remedy for users.
	Message, Remedy string
	// Fields of the request that are wrong, each with its problem.
	Fields [][2]string
}

// Error is the message.
func (r *Refused) Error() string { return r.Message }

// passing reports whether an error may be temporary: the worker is being restarted.
func (r *Refused) passing() bool {
	return r.Status == http.StatusServiceUnavailable || r.Status == http.StatusBadGateway || r.Status == http.StatusGatewayTimeout
}

// ErrWrong is a download that differs from what the server states.
var ErrWrong = errors.New("the file is not what the server sent")

// state describes a partial file; it is stored next to it in Path.part.json.
type state struct {
	Request string `json:"request"` // table, form and query
	Version string `json:"version"`
	ETag    string `json:"etag,omitempty"`
}

const (
	attempts = 5 // of a download that broke off
	firstGap = 300 * time.Millisecond
)

// Page is the first rows of an answer.
type Page struct {
	// Version that the rows are of.
	Version string
	// Complete is false if something is missing.
	Complete bool
	// Rows are JSON objects by column.
	Rows []json.RawMessage
	// More is true if the response continues.
	More bool
}

// Rows reads at most most rows of an answer. Format, Path, Progress and Restarted of the
// request are not used.
func Rows(ctx context.Context, r Request, most int) (page Page, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of what is not read
	r.Format = "ndjson"
	d := &download{Request: r}
	resp, err := d.get(ctx, 0)
	if err != nil {
		return page, err
	}
	defer resp.Body.Close()
	if page.Version = resp.Header.Get("X-Afterbell-Version"); page.Version == "" {
		return page, errNotServed
	}
	page.Complete = resp.Header.Get("X-Afterbell-Complete") == "true"
	rows := json.NewDecoder(resp.Body)
	for {
		var row json.RawMessage
		err := rows.Decode(&row)
		if errors.Is(err, io.EOF) {
			return page, nil
		}
		if err != nil {
			return page, brokenOff(err)
		}
		if len(page.Rows) == most {
			page.More = true
			return page, nil
		}
		page.Rows = append(page.Rows, row)
	}
}

type download struct {
	Request
	part, about string
	state       state
}

// Run downloads. An interrupted connection is resumed a few times; the partial file stays
// for the next Run.
func Run(ctx context.Context, r Request) (Result, error) {
	d := &download{Request: r, part: r.Path + ".part", about: r.Path + ".part.json"}
	d.load()
	gap, wrong := firstGap, 0
	for n := 1; ; n++ {
		result, err := d.attempt(ctx)
		var refused *Refused
		switch {
		case err == nil:
			return result, d.install()
		case ctx.Err() != nil:
			return result, ctx.Err()
		case errors.As(err, &refused):
			kind := refused.Metadata["kind"]
			if (kind == "version" || kind == "published copy") && d.Version == "" && d.state.Version != "" {
				d.restart("its version is no longer kept")
				continue
			}
			if !refused.passing() {
				d.dropEmpty()
				return result, err
			}
		case errors.Is(err, ErrWrong):
			d.restart(err.Error())
			if wrong++; wrong > 1 {
				return result, err
			}
			continue
		}
		var disk *os.PathError
		if n >= attempts || errors.As(err, &disk) || errors.Is(err, errNotServed) {
			d.dropEmpty()
			return result, err
		}
		select {
		case <-ctx.Done():
			return result, ctx.Err()
		case <-time.After(gap):
			gap *= 2
		}
	}
}

// load takes up the part that an earlier Run left, if it is of the same request.
func (d *download) load() {
	want := d.Table + "." + d.Format + "?" + d.Query.Encode()
	text, err := os.ReadFile(d.about)
	if err == nil && json.Unmarshal(text, &d.state) == nil && d.state.Request == want && (d.Version == "" || d.Version == d.state.Version) {
		return
	}
	if info, err := os.Stat(d.part); err == nil && info.Size() > 0 {
		d.Restarted("it belongs to a different request")
	}
	d.state = state{Request: want}
	_ = os.Remove(d.part) // it is written over
	_ = os.Remove(d.about)
}

// dropEmpty takes a part away that nothing came of.
func (d *download) dropEmpty() {
	if info, err := os.Stat(d.part); err == nil && info.Size() == 0 {
		_ = os.Remove(d.part)
		_ = os.Remove(d.about)
	}
}

func (d *download) restart(reason string) {
	d.Restarted(reason)
	d.state.Version, d.state.ETag = "", ""
	_ = os.Remove(d.part)
	_ = os.Remove(d.about)
}

// note stores the description of the partial file before its first byte is written.
func (d *download) note(version, tag string) error {
	d.state.Version, d.state.ETag = version, tag
	text, err := json.Marshal(d.state)
	if err != nil {
		return err
	}
	return os.WriteFile(d.about, text, 0o644)
}

var errNotServed = errors.New("the answer is none of an orchestrator")

func (d *download) attempt(ctx context.Context) (result Result, err error) {
	file, err := os.OpenFile(d.part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return result, err
	}
	defer func() {
		if closing := file.Close(); err == nil {
			err = closing
		}
	}()
	sum := sha256.New()
	lines := lineCounter{format: d.Format}
	have, err := io.Copy(io.MultiWriter(sum, &lines), file)
	if err != nil {
		return result, err
	}
	if d.state.Version == "" {
		have = 0
	}
	resp, err := d.get(ctx, have)
	if err != nil {
		return result, err
	}
	defer resp.Body.Close()
	result.Version = resp.Header.Get("X-Afterbell-Version")
	if result.Version == "" {
		return result, errNotServed
	}
	result.Complete = resp.Header.Get("X-Afterbell-Complete") == "true"
	result.LackCount, _ = strconv.ParseInt(resp.Header.Get("X-Afterbell-Lack-Count"), 10, 64) // 0 if unknown
	if text := resp.Header.Get("X-Afterbell-Lacks"); text != "" {
		result.Lacks = strings.Split(text, ", ")
	}
	all := have + resp.ContentLength
	body := io.Reader(resp.Body)
	switch {
	case have > 0 && result.Version != d.state.Version:
		return result, fmt.Errorf("%w: version %s came instead of %s", ErrWrong, result.Version, d.state.Version)
	case resp.StatusCode == http.StatusPartialContent:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(have, 10)+"-") {
			return result, fmt.Errorf("%w: other bytes came than were asked for", ErrWrong)
		}
	case have > 0 && d.Format != "parquet":
		// A stream starts at the beginning. The bytes of the partial file must come again.
		again := sha256.New()
		if n, err := io.CopyN(again, body, have); errors.Is(err, io.EOF) {
			return result, fmt.Errorf("%w: %d bytes are held of %d", ErrWrong, have, n)
		} else if err != nil {
			return result, brokenOff(err)
		}
		if [sha256.Size]byte(again.Sum(nil)) != [sha256.Size]byte(sum.Sum(nil)) {
			return result, fmt.Errorf("%w: what is held differs from what the server has", ErrWrong)
		}
		all = 0
	default:
		if have > 0 {
			d.Restarted("the server has rebuilt the file")
		}
		have, all = 0, max(resp.ContentLength, 0)
	}
	if have == 0 {
		sum.Reset()
		lines = lineCounter{format: d.Format}
		if err := d.note(result.Version, resp.Header.Get("ETag")); err != nil {
			return result, err
		}
		if err := file.Truncate(0); err != nil {
			return result, err
		}
	}
	if _, err := file.Seek(have, io.SeekStart); err != nil {
		return result, err
	}
	result.Resumed = have
	out := &counted{to: io.MultiWriter(file, sum, &lines), came: have, all: all, told: d.Progress}
	d.Progress(have, all)
	if _, err := io.Copy(out, body); err != nil {
		return result, errors.Join(brokenOff(err), file.Sync())
	}
	result.Bytes = out.came
	result.SHA256 = fmt.Sprintf("%x", sum.Sum(nil))
	if err := d.check(resp, sum, &lines, &result); err != nil {
		return result, err
	}
	return result, file.Sync()
}

// brokenOff keeps a fault of the disk apart from one of the connection.
func brokenOff(err error) error {
	var disk *os.PathError
	if errors.As(err, &disk) {
		return err
	}
	return fmt.Errorf("the connection broke off: %w", err)
}

// get asks for the table from byte have on.
func (d *download) get(ctx context.Context, have int64) (*http.Response, error) {
	query := url.Values{}
	for k, v := range d.Query {
		query[k] = v
	}
	if version := cmp.Or(d.state.Version, d.Version); version != "" {
		query.Set("version", version)
	}
	scheme := "http"
	if d.TLS {
		scheme = "https"
	}
	at := url.URL{Scheme: scheme, Host: d.Addr, Path: "/v1/data/" + d.Table + "." + d.Format, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	if d.Key != "" {
		req.Header.Set("Authorization", "Bearer "+d.Key)
	}
	req.Header.Set("Te", "trailers")
	req.Header.Set("Accept-Encoding", "identity")
	if have > 0 && d.Format == "parquet" && d.state.ETag != "" {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		req.Header.Set("If-Range", d.state.ETag)
	}
	resp, err := d.Client.Do(req)
	if err != nil {
		if strings.Contains(err.Error(), "malformed HTTP response") { // of a gRPC port; net/http has no value for it
			return nil, errNotServed
		}
		return nil, err
	}
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		return resp, nil
	case http.StatusRequestedRangeNotSatisfiable: // the part is the whole, or longer
		resp.Body.Close()
		return nil, fmt.Errorf("%w: the part is as long as the file, or longer", ErrWrong)
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

func refusal(resp *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return brokenOff(err)
	}
	var answer struct {
		Error struct {
			Message string `json:"message"`
			Details []struct {
				Reason   string            `json:"reason"`
				Metadata map[string]string `json:"metadata"`
				Links    []struct {
					Description string `json:"description"`
				} `json:"links"`
				FieldViolations []struct {
					Field       string `json:"field"`
					Description string `json:"description"`
				} `json:"fieldViolations"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(text, &answer) != nil || answer.Error.Message == "" {
		if resp.StatusCode >= 500 {
			return fmt.Errorf("HTTP %s", resp.Status)
		}
		return errNotServed
	}
	r := &Refused{Status: resp.StatusCode, Message: answer.Error.Message}
	for _, x := range answer.Error.Details {
		if x.Reason != "" {
			r.Reason, r.Metadata = x.Reason, x.Metadata
		}
		for _, v := range x.FieldViolations {
			r.Fields = append(r.Fields, [2]string{v.Field, v.Description})
		}
		if len(x.Links) > 0 {
			r.Remedy = x.Links[0].Description
		}
	}
	return r
}

// check compares the file with what the server states.
func (d *download) check(resp *http.Response, sum hash.Hash, lines *lineCounter, result *Result) error {
	told := func(name string) string { return cmp.Or(resp.Header.Get(name), resp.Trailer.Get(name)) }
	rows, err := strconv.ParseInt(told("X-Afterbell-Row-Count"), 10, 64)
	if err != nil {
		return fmt.Errorf("%w: it does not tell how many rows there are", ErrWrong)
	}
	result.Rows = rows
	if n, ok := lines.rows(); ok && n != rows {
		return fmt.Errorf("%w: %d rows came of %d", ErrWrong, n, rows)
	}
	if want := "sha-256=:" + base64.StdEncoding.EncodeToString(sum.Sum(nil)) + ":"; told("Repr-Digest") != want {
		return fmt.Errorf("%w: its hash is another", ErrWrong)
	}
	return nil
}

// install renames the partial file to its final name.
func (d *download) install() error {
	if err := os.Rename(d.part, d.Path); err != nil {
		return err
	}
	return os.Remove(d.about)
}

// lineCounter counts the rows of a text.
type lineCounter struct {
	format string
	lines  int64
	quoted bool
}

// Write counts.
func (c *lineCounter) Write(p []byte) (int, error) {
	if c.format == "csv" || c.format == "ndjson" {
		for _, b := range p {
			switch {
			case b == '"' && c.format == "csv":
				c.quoted = !c.quoted
			case b == '\n' && !c.quoted:
				c.lines++
			}
		}
	}
	return len(p), nil
}

// rows are the lines without a head; ok is false for a form without lines.
func (c *lineCounter) rows() (n int64, ok bool) {
	switch c.format {
	case "csv":
		return c.lines - 1, true
	case "ndjson":
		return c.lines, true
	}
	return 0, false
}

// counted counts the bytes written.
type counted struct {
	to        io.Writer
	came, all int64
	told      func(came, all int64)
}

// Write writes on.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.came += int64(n)
	c.told(c.came, c.all)
	return n, err
}
