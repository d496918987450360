package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/rows"
)

// endless is a worker whose responses continue until the caller stops reading, or are interrupted.
type endless struct {
	ingestv1.UnimplementedDataServiceServer
	breaks bool
	ended  chan error
}

func (w *endless) PrepareFile(context.Context, *ingestv1.PrepareFileRequest) (*ingestv1.PrepareFileResponse, error) {
	return &ingestv1.PrepareFileResponse{FileId: "f", ByteCount: 1 << 40, Summary: &marketv1.RowsSummary{}}, nil
}

func (w *endless) ReadFile(_ *ingestv1.ReadFileRequest, s grpc.ServerStreamingServer[ingestv1.ReadFileResponse]) error {
	return w.flood(func(data []byte) error { return s.Send(&ingestv1.ReadFileResponse{Data: data}) })
}

func (w *endless) ReadRows(_ *ingestv1.ReadRowsRequest, s grpc.ServerStreamingServer[ingestv1.ReadRowsResponse]) error {
	return w.flood(func(data []byte) error {
		return s.Send(&ingestv1.ReadRowsResponse{Data: data, Summary: &marketv1.RowsSummary{Version: "v"}})
	})
}

func (w *endless) flood(send func([]byte) error) error {
	data := bytes.Repeat([]byte("1,2,3\n"), 10_000)
	for n := 0; ; n++ {
		if w.breaks && n == 20 {
			return fault.New(fault.Internal, "The file cannot be read.")
		}
		if err := send(data); err != nil {
			w.ended <- err
			return err
		}
	}
}

func startRows(t *testing.T, w ingestv1.DataServiceServer) string {
	t.Helper()
	lis, err := transport.Listen(logging.Discard(), "test", "grpc", "grpc_addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := transport.NewServer(transport.ServerConfig{Logger: logging.Discard(), Listener: lis, StopTimeout: time.Second})
	ingestv1.RegisterDataServiceServer(server, w)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	conn, err := transport.DialPlain(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	h, err := Handler(t.Context(), Config{
		Logger: logging.Discard(), Conn: conn, Metrics: http.NotFoundHandler(), Access: nobody{}, Loopback: true, CallerMetadata: "caller-bin",
		Rows: &rows.Source{Worker: ingestv1.NewDataServiceClient(conn)},
		Say:  func(text string) string { return strings.ReplaceAll(text, "localhost:7780", "here:1") },
	})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(h)
	t.Cleanup(func() {
		front.Close() // which waits for responses in progress
		cancel()
		if err := errors.Join(<-done, conn.Close()); err != nil {
			t.Error(err)
		}
	})
	return front.URL
}

// A caller that hangs up in the midst of an answer ends it at the worker.
func TestCallerThatVanishesEndsTheAnswer(t *testing.T) {
	w := &endless{ended: make(chan error, 10)}
	base := startRows(t, w)
	for _, ending := range []string{"csv", "arrow", "parquet"} {
		client := &http.Client{Transport: &http.Transport{}}
		resp, err := client.Get(base + "/v1/data/daily_prices." + ending)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
			t.Fatalf("%s: %d, %v", ending, resp.StatusCode, err)
		}
		resp.Body.Close()
		client.CloseIdleConnections()
		if err := <-w.ended; err == nil {
			t.Errorf("%s continues", ending)
		}
	}
}

// An interrupted response is not mistaken for a shorter one.
func TestAnswerThatBreaksOffIsSeen(t *testing.T) {
	base := startRows(t, &endless{breaks: true, ended: make(chan error, 10)})
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, ending := range []string{"csv", "ndjson", "parquet"} {
		resp, err := client.Get(base + "/v1/data/daily_prices." + ending)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err == nil || n == 0 {
			t.Errorf("%s: %d bytes and %v", ending, n, err)
		}
	}
}

// oneFile is a worker that keeps one file, and sends it in messages of many sizes.
type oneFile struct {
	ingestv1.UnimplementedDataServiceServer
	content []byte
}

func (w *oneFile) PrepareFile(context.Context, *ingestv1.PrepareFileRequest) (*ingestv1.PrepareFileResponse, error) {
	return &ingestv1.PrepareFileResponse{FileId: "f", ByteCount: int64(len(w.content)), Summary: &marketv1.RowsSummary{}}, nil
}

func (w *oneFile) ReadFile(r *ingestv1.ReadFileRequest, s grpc.ServerStreamingServer[ingestv1.ReadFileResponse]) error {
	rest := w.content[r.GetOffset():]
	for n := 1; len(rest) > 0; n = 5*n + 1 {
		n = min(n, len(rest), 1<<20)
		if err := errors.Join(s.Send(&ingestv1.ReadFileResponse{}), s.Send(&ingestv1.ReadFileResponse{Data: rest[:n]})); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// The bytes of a file and of its ranges are those that the worker has.
func TestFileArrivesAsItIs(t *testing.T) {
	w := &oneFile{content: make([]byte, 3<<20+17)}
	_, _ = rand.NewChaCha8([32]byte{1}).Read(w.content) // it never fails
	base := startRows(t, w)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, c := range []struct {
		span     string
		from, to int
	}{{"", 0, len(w.content)}, {"bytes=0-0", 0, 1}, {"bytes=100-700000", 100, 700_001}, {"bytes=-5", len(w.content) - 5, len(w.content)}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/data/daily_prices.parquet", nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.span != "" {
			req.Header.Set("Range", c.span)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, w.content[c.from:c.to]) || resp.ContentLength != int64(c.to-c.from) {
			t.Errorf("%q: HTTP %d, %d bytes of %d, %v", c.span, resp.StatusCode, len(got), c.to-c.from, err)
		}
	}
}

// A range of a unit other than bytes is ignored, as RFC 9110, 14.2, wants it.
func TestRangeUnits(t *testing.T) {
	w := &oneFile{content: []byte("a file of rows")}
	base := startRows(t, w)
	for span, want := range map[string]struct {
		code int
		text string
	}{
		"lines=1-2":  {200, "a file of rows"},
		"lines":      {200, "a file of rows"},
		"Bytes=2-5":  {206, "file"},
		"bytes=2-5":  {206, "file"},
		"bytes=99-":  {416, "range: does not lie within the file; its length is in Content-Range"},
		"bytes=line": {416, "range: is not a range of bytes, such as bytes=0-1023"},
	} {
		resp, body := get(t, base+"/v1/data/daily_prices.parquet", "Range", span)
		if resp.StatusCode != want.code || !strings.Contains(body, want.text) {
			t.Errorf("%s: %d %s", span, resp.StatusCode, body)
		}
		if (want.code == 416) == (resp.Header.Get("Content-Disposition") != "") {
			t.Errorf("%s: %d %v", span, resp.StatusCode, resp.Header)
		}
	}
}

// An If-Match that names another file is answered with an error like all others.
func TestFileThatHasChanged(t *testing.T) {
	base := startRows(t, &oneFile{content: []byte("a file of rows")})
	path := base + "/v1/data/daily_prices.parquet"
	resp, body := get(t, path, "If-Match", `"another"`)
	if resp.StatusCode != 412 || resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("ETag") != `"f"` || resp.Header.Get("Content-Disposition") != "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	for _, want := range []string{`"reason":"ETAG_MISMATCH"`, `not the one that If-Match names; its ETag is \"f\"`, "Omit If-Match"} {
		if !strings.Contains(body, want) {
			t.Errorf("%s does not say %s", body, want)
		}
	}
	if resp, body := get(t, path, "If-Match", `"f"`); resp.StatusCode != 200 || body != "a file of rows" {
		t.Errorf("the same file: %d %s", resp.StatusCode, body)
	}
	if resp, body := get(t, path, "If-None-Match", `"f"`); resp.StatusCode != 304 || body != "" {
		t.Errorf("a copy that is up to date: %d %s", resp.StatusCode, body)
	}
}

// get is a response with its body.
func get(t *testing.T, url, header, value string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(header, value)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// A command in an error about rows has the address of this process, like those of other errors.
func TestCommandInErrorOfRowsReachesHere(t *testing.T) {
	base := startRows(t, &unpublished{})
	resp, body := get(t, base+"/v1/data/daily_prices.csv", "Accept-Language", "en")
	if resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "curl -X POST here:1/v1/runs") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// unpublished is a worker that has nothing to read.
type unpublished struct {
	ingestv1.UnimplementedDataServiceServer
}

func (*unpublished) ReadRows(*ingestv1.ReadRowsRequest, grpc.ServerStreamingServer[ingestv1.ReadRowsResponse]) error {
	err := fault.New(fault.NotFound, "There is no such version.", "kind", "version", "id", "v")
	err.Remedy = "Start a run: curl -X POST localhost:7780/v1/runs -d '{}'"
	return err
}

// Errors of the gateway itself are in the caller's language, too.
func TestErrorsOfRowsAreLocalized(t *testing.T) {
	base := startRows(t, &endless{ended: make(chan error, 10)})
	for language, want := range map[string]bool{"zh": true, "en": false, "": false} {
		for _, path := range []string{"/v1/data/daily_prices.csv?start_date=", "/v1/nothing", "/v1/data/daily_prices.xlsx"} {
			resp, body := get(t, base+path, "Accept-Language", language)
			if resp.StatusCode < 400 || strings.Count(body, "afterbell.fault.v1.Localized") != map[bool]int{true: 1}[want] {
				t.Errorf("%s in %q: %d %s", path, language, resp.StatusCode, body)
			}
		}
	}
}
