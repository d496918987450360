package gateway

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/mem"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

// rowsPath is the path of tables as files.
const rowsPath = "/v1/data/"

// isRows reports whether a path is that of a table: /v1/data/daily_prices.csv.
func isRows(path string) bool {
	rest, ok := strings.CutPrefix(path, rowsPath)
	return ok && rest != "" && !strings.Contains(rest, "/")
}

// rowFormat is one format of a table, with its extension and its media type.
type rowFormat struct {
	ending, media string
	format        ingestv1.RowFormat // of streamed formats
}

var rowFormats = []rowFormat{
	{"ndjson", "application/x-ndjson", ingestv1.RowFormat_ROW_FORMAT_NDJSON}, // the default of a caller that accepts anything
	{"csv", "text/csv", ingestv1.RowFormat_ROW_FORMAT_CSV},
	{"arrow", "application/vnd.apache.arrow.stream", ingestv1.RowFormat_ROW_FORMAT_ARROW},
	{"parquet", "application/vnd.apache.parquet", ingestv1.RowFormat_ROW_FORMAT_UNSPECIFIED},
}

// serveRows serves a table as a file.
func (g *gateway) serveRows(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		g.methodNotAllowed(w, r)
		return
	}
	q, f, code, err := rowRequest(r)
	if err != nil {
		g.fail(w, r, code, err)
		return
	}
	done, err := g.limits.Enter(auth.CallerOf(r.Context()).Account(), true)
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	defer done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := &patient{ResponseWriter: w, control: http.NewResponseController(w), gateway: g, request: r}
	if f.ending == "parquet" {
		err = g.serveFile(ctx, out, r, q, f)
	} else {
		err = g.serveStream(ctx, out, r, q, f)
	}
	if err == nil {
		_ = out.control.Flush()
		_ = out.control.SetWriteDeadline(time.Time{}) // of the next response on this connection
		return
	}
	err = ended(r.Context(), err)
	if out.begun {
		g.log.Info("a response with rows was aborted", "table", q.GetTable(), "error", err.Error())
		panic(http.ErrAbortHandler) // so that the caller does not take it for complete
	}
	s := transport.TellStatus(withReason(transport.ToStatus(err)), g.say)
	code = httpCode(s)
	if fault.Is(err, fault.DataIncomplete) {
		code = http.StatusPreconditionFailed
	}
	undescribe(w.Header())
	g.writeError(w, r, code, s)
}

func (g *gateway) serveStream(ctx context.Context, w *patient, r *http.Request, q *marketv1.RowQuery, f rowFormat) error {
	in, err := g.rows.Read(ctx, q, f.format, r.Method == http.MethodHead)
	if err != nil {
		return err
	}
	describeRows(w.Header(), r.URL, q, f, in.Summary)
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	w.Header().Set("Trailer", rowCountHeader)
	var sum hash.Hash // for callers that read trailers, because it takes time
	if strings.Contains(strings.Join(r.Header.Values("Te"), ","), "trailers") {
		w.Header().Add("Trailer", digestHeader)
		sum = sha256.New()
	}
	if sum != nil {
		sum.Write(in.Head)
	}
	out := bufio.NewWriterSize(w, writeBuffer) // messages come in many pieces
	if _, err = w.Write(in.Head); err == nil {
		err = in.Each(func(m *transport.Bytes) error {
			defer m.Free()
			for data := range m.Chunks() {
				if sum != nil {
					sum.Write(data)
				}
				if _, err := out.Write(data); err != nil {
					return err
				}
			}
			return out.Flush()
		})
	}
	w.Header().Set(rowCountHeader, strconv.FormatInt(in.RowCount, 10))
	if sum != nil {
		w.Header().Set(digestHeader, digest(sum.Sum(nil)))
	}
	return err
}

// writeBuffer is the size of one write of a stream.
const writeBuffer = 256 << 10

const (
	// rowCountHeader has the number of rows; for a stream it is a trailer.
	rowCountHeader = "X-Afterbell-Row-Count"
	// digestHeader has the hash of the whole response, as in RFC 9530; for a stream it is a
	// trailer, for callers that send TE: trailers.
	digestHeader = "Repr-Digest"
)

func digest(sum []byte) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
}

func (g *gateway) serveFile(ctx context.Context, w *patient, r *http.Request, q *marketv1.RowQuery, f rowFormat) error {
	made, err := g.rows.File(ctx, q)
	if err != nil {
		return err
	}
	describeRows(w.Header(), r.URL, q, f, made.GetSummary())
	w.Header().Set(rowCountHeader, strconv.FormatInt(made.GetRowCount(), 10))
	w.Header().Set("ETag", `"`+made.GetFileId()+`"`)
	if sum := made.GetSha256(); len(sum) == sha256.Size { // an older worker sends none
		// A file that is created again may have different bytes, so its ETag is their hash.
		w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:16])+`"`)
		w.Header().Set(digestHeader, digest(sum))
	}
	w.Header().Set("Cache-Control", "no-cache") // cached copies are revalidated
	file := &remoteFile{ctx: ctx, worker: g.rows.Worker, id: made.GetFileId(), size: made.GetByteCount()}
	defer file.drop()
	http.ServeContent(w, onlyBytes(r), "", time.Time{}, file)
	return file.err
}

// onlyBytes is a request without a range of an unknown unit, which RFC 9110, 14.2, wants
// ignored and net/http refuses. The unit may be in any case.
func onlyBytes(r *http.Request) *http.Request {
	given := r.Header.Get("Range")
	if given == "" || strings.HasPrefix(given, "bytes=") {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Del("Range")
	if unit, spans, ok := strings.Cut(given, "="); ok && strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		r.Header.Set("Range", "bytes="+spans)
	}
	return r
}

// undescribe removes the headers of the rows from a response that has an error instead.
func undescribe(h http.Header) {
	for _, name := range []string{"Content-Disposition", "ETag", "Content-Location", "Trailer", rowCountHeader, digestHeader} {
		h.Del(name)
	}
}

// describeRows sets the headers with the metadata of the response.
func describeRows(h http.Header, u *url.URL, q *marketv1.RowQuery, f rowFormat, s *marketv1.RowsSummary) {
	media := f.media
	if f.ending == "csv" {
		media += "; charset=utf-8; header=present"
	}
	h.Set("Content-Type", media)
	h.Set("Content-Disposition", fmt.Sprintf("inline; filename=%q", q.GetTable()+"."+f.ending))
	values := u.Query()
	values.Set("version", s.GetVersion())
	at := *u
	at.RawQuery = values.Encode()
	h.Set("Content-Location", at.RequestURI())
	h.Set("X-Afterbell-Version", s.GetVersion())
	h.Set("X-Afterbell-Run-Id", s.GetRunId())
	h.Set("X-Afterbell-Complete", strconv.FormatBool(s.GetComplete()))
	h.Set("X-Afterbell-Lack-Count", strconv.FormatInt(s.GetLackCount(), 10))
	var lacks, units []string
	for _, c := range s.GetLacks()[:min(len(s.GetLacks()), 20)] {
		lacks = append(lacks, strings.Trim(c.GetDatasetId()+"/"+c.GetTradeDate()+c.GetSymbol(), "/"))
	}
	for _, c := range s.GetColumns() {
		if c.GetUnit() != "" {
			units = append(units, c.GetName()+"="+url.PathEscape(c.GetUnit()))
		}
	}
	h.Set("X-Afterbell-Units", strings.Join(units, ", "))
	if len(lacks) > 0 {
		h.Set("X-Afterbell-Lacks", strings.Join(lacks, ", "))
	}
	if s.GetBrokenLinkCount() > 0 {
		h.Set("X-Afterbell-Broken-Link-Count", strconv.FormatInt(s.GetBrokenLinkCount(), 10))
	}
}

// rowRequest parses path, query and Accept.
func rowRequest(r *http.Request) (q *marketv1.RowQuery, f rowFormat, code int, err error) {
	name := strings.TrimPrefix(r.URL.Path, rowsPath)
	name, f, code, err = formatOf(name, r.Header.Values("Accept"))
	if err != nil {
		return nil, f, code, err
	}
	q = &marketv1.RowQuery{Table: name}
	if pool, table, ok := strings.Cut(name, "."); ok {
		q.Table = table
		if q.Pool, err = poolNamed("table", pool); err != nil {
			return nil, f, http.StatusBadRequest, err
		}
	}
	values := r.URL.Query()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := rowParameter(q, key, values[key]); err != nil {
			return nil, f, http.StatusBadRequest, err
		}
	}
	return q, f, 0, nil
}

func rowParameter(q *marketv1.RowQuery, key string, values []string) error {
	one := func() (string, error) {
		if len(values) != 1 {
			return "", fault.Invalid(key, "is given %d times", len(values))
		}
		if values[0] == "" { // for example from a variable that is not set; it would mean everything
			return "", fault.Invalid(key, "is empty; omit it instead")
		}
		return values[0], nil
	}
	date := func(held string) (string, error) {
		if held != "" {
			return "", fault.Invalid(key, "is given twice, under both its names")
		}
		return one()
	}
	var err error
	switch key {
	case "symbols":
		q.Symbols, err = listed(key, values)
	case "columns":
		q.Columns, err = listed(key, values)
	case "start_date", "startDate":
		q.StartDate, err = date(q.StartDate)
	case "end_date", "endDate":
		q.EndDate, err = date(q.EndDate)
	case "version":
		q.Version, err = one()
	case "pool":
		var text string
		if text, err = one(); err != nil {
			return err
		}
		pool, err := poolNamed("pool", text)
		if err != nil {
			return err
		}
		if q.Pool != marketv1.Pool_POOL_UNSPECIFIED && q.Pool != pool {
			return fault.Invalid("pool", "%.40q is not the pool in the path", text)
		}
		q.Pool = pool
	case "adjust":
		var text string
		if text, err = one(); err != nil {
			return err
		}
		n, ok := enumName(q.GetAdjust().Descriptor(), text)
		if !ok {
			return fault.Invalid("adjust", "%.40q is not allowed: allowed are none, forward, backward", text)
		}
		q.Adjust = marketv1.Adjustment(marketv1.Adjustment_value[n])
	case "require":
		var text string
		if text, err = one(); err != nil {
			return err
		}
		n, ok := enumName(q.GetRequire().Descriptor(), text)
		if !ok {
			return fault.Invalid("require", "%.40q is not allowed: allowed is complete", text)
		}
		q.Require = marketv1.Requirement(marketv1.Requirement_value[n])
	default:
		return fault.Invalid(clip(key), "is not a known parameter; allowed are symbols, start_date, end_date, columns, adjust, require, version, pool")
	}
	return err
}

// listed parses a list that is separated by commas, given several times, or both. An empty
// list is an error, because it would read everything.
func listed(key string, values []string) ([]string, error) {
	var out []string
	for _, v := range values {
		for _, x := range strings.Split(v, ",") {
			if x = strings.TrimSpace(x); x != "" {
				out = append(out, x)
			}
		}
	}
	if len(out) == 0 {
		return nil, fault.Invalid(key, "has no entries; omit it to read all")
	}
	return out, nil
}

func poolNamed(field, text string) (marketv1.Pool, error) {
	if name, ok := enumName(marketv1.Pool(0).Descriptor(), text); ok && name != "POOL_UNSPECIFIED" {
		return marketv1.Pool(marketv1.Pool_value[name]), nil
	}
	return 0, fault.Invalid(field, "%.40q is not a pool: allowed are targets, universe", text)
}

// formatOf determines the format by the extension or the Accept header.
func formatOf(name string, accept []string) (table string, f rowFormat, code int, err error) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		for _, f := range rowFormats {
			if name[i+1:] == f.ending {
				return name[:i], f, 0, nil
			}
		}
		if head := name[:i]; !strings.EqualFold(head, "targets") && !strings.EqualFold(head, "universe") {
			return "", f, http.StatusBadRequest, fault.Invalid("table", "the extension %.20q is not supported: allowed are .parquet, .arrow, .csv, .ndjson", name[i:])
		}
	}
	if f, ok := accepted(accept); ok {
		return name, f, 0, nil
	}
	return "", f, http.StatusNotAcceptable, fault.Invalid("accept", "%.100q is not supported: allowed are application/x-ndjson, text/csv, application/vnd.apache.arrow.stream, application/vnd.apache.parquet",
		strings.Join(accept, ", "))
}

// accepted is the format that the caller prefers.
func accepted(accept []string) (best rowFormat, ok bool) {
	likes := strings.Join(accept, ",")
	if strings.TrimSpace(likes) == "" {
		return rowFormats[0], true
	}
	most := 0.0
	for _, part := range strings.Split(likes, ",") {
		media, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		weight := 1.0
		if text, given := params["q"]; given {
			if weight, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		for _, f := range rowFormats {
			kind, _, _ := strings.Cut(f.media, "/")
			if (media == f.media || media == "*/*" || media == kind+"/*") && weight > most {
				best, most, ok = f, weight, true
			}
		}
	}
	return best, ok
}

// patient writes to a caller for as long as it reads.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	gateway *gateway
	request *http.Request
	begun   bool
	refused bool // the requested range or ETag; what follows the error is dropped
}

// Write implements http.ResponseWriter.
func (p *patient) Write(data []byte) (int, error) {
	if p.refused {
		return len(data), nil
	}
	p.begun = true
	_ = p.control.SetWriteDeadline(time.Now().Add(p.gateway.stallTime)) // a recorder in a test has none
	return p.ResponseWriter.Write(data)
}

// ReadFrom implements io.ReaderFrom, for files, whose bytes arrive in many pieces.
func (p *patient) ReadFrom(from io.Reader) (written int64, err error) {
	buffer := make([]byte, writeBuffer)
	for err == nil {
		filled := 0
		for filled < len(buffer) && err == nil {
			var n int
			n, err = from.Read(buffer[filled:])
			filled += n
		}
		if filled == 0 {
			break
		}
		n, failed := p.Write(buffer[:filled])
		written += int64(n)
		if failed != nil {
			return written, failed
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return written, err
}

// WriteHeader implements http.ResponseWriter.
func (p *patient) WriteHeader(code int) {
	p.begun = true
	switch code { // net/http would answer in plain text, or with nothing
	case http.StatusPreconditionFailed:
		p.refused = true
		etag := p.Header().Get("ETag")
		undescribe(p.Header())
		p.Header().Set("ETag", etag) // of the file as it is now
		p.gateway.fail(p.ResponseWriter, p.request, code, changedFile(etag))
		return
	case http.StatusRequestedRangeNotSatisfiable:
		p.refused = true
		undescribe(p.Header())
		problem := "does not lie within the file; its length is in Content-Range"
		if p.Header().Get("Content-Range") == "" { // net/http could not read it
			problem = "is not a range of bytes, such as bytes=0-1023"
		}
		p.gateway.fail(p.ResponseWriter, p.request, code, fault.Invalid("range", "%s", problem))
		return
	}
	p.ResponseWriter.WriteHeader(code)
}

// changedFile is the error of an If-Match that names another file.
func changedFile(etag string) error {
	err := fault.New(fault.EtagMismatch, fmt.Sprintf("The file is not the one that If-Match names; its ETag is %s.", etag), "kind", "file", "etag", etag)
	err.Remedy = "Omit If-Match to read the file as it is now. To keep reading the same rows, set version to the X-Afterbell-Version of the first response."
	return err
}

// remoteFile reads a file of the worker. It opens a stream at the position of a read, and
// drops it after a seek.
type remoteFile struct {
	ctx    context.Context
	worker ingestv1.DataServiceClient
	id     string
	size   int64

	at     int64
	stream ingestv1.DataService_ReadFileClient
	cancel context.CancelFunc
	rest   *mem.Reader // of the last message; nil for none
	err    error
}

// Seek implements io.Seeker.
func (f *remoteFile) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += f.size
	}
	if offset != f.at {
		f.drop()
		f.at = offset
	}
	return offset, nil
}

func (f *remoteFile) drop() {
	if f.cancel != nil {
		f.cancel()
	}
	if f.rest != nil {
		_ = f.rest.Close() // it releases the memory and cannot fail
	}
	f.stream, f.cancel, f.rest = nil, nil, nil
}

// Read implements io.Reader.
func (f *remoteFile) Read(into []byte) (int, error) {
	if f.at >= f.size {
		return 0, io.EOF
	}
	if f.stream == nil {
		ctx, cancel := context.WithCancel(f.ctx)
		stream, err := f.worker.ReadFile(ctx, &ingestv1.ReadFileRequest{FileId: f.id, Offset: f.at})
		if err != nil {
			cancel()
			f.err = err
			return 0, err
		}
		f.stream, f.cancel = stream, cancel
	}
	for f.rest == nil || f.rest.Remaining() == 0 {
		if err := f.next(); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			f.err = err
			return 0, err
		}
	}
	n, err := f.rest.Read(into)
	f.at += int64(n)
	return n, err
}

// next receives a message; its bytes are copied only to the reader's buffer.
func (f *remoteFile) next() error {
	if f.rest != nil {
		_ = f.rest.Close() // as above
		f.rest = nil
	}
	m := &transport.Bytes{}
	if err := f.stream.RecvMsg(m); err != nil {
		return err
	}
	if m.Only() {
		f.rest = m.Reader()
	} else {
		m.Free() // it has no bytes
	}
	return nil
}

// rowsOperation describes the files in the OpenAPI document.
func rowsOperation() object {
	parameter := func(name, about string) object {
		return object{"name": name, "in": "query", "required": false, "type": "string", "description": about}
	}
	var media []string
	for _, f := range rowFormats {
		media = append(media, f.media)
	}
	return object{"get": object{
		"summary": "Reads a table as a file.",
		"description": "The extension of the table's name (.parquet, .arrow, .csv, .ndjson) or the Accept header selects the format. targets.daily_prices is the table " +
			"of the other pool. Units, version and missing data are in the headers X-Afterbell-…, and in the file if its format has metadata. " +
			"A Parquet file has a length, an ETag and ranges; the other formats are streams, which end early if an error occurs. " +
			"X-Afterbell-Row-Count and Repr-Digest (SHA-256, RFC 9530) are headers of a Parquet file and trailers of a stream (the digest if the request has TE: trailers). Requires the role viewer.",
		"operationId": "DataService_ReadFile", "tags": []any{"DataService"}, "produces": media,
		"parameters": []any{
			object{"name": "table", "in": "path", "required": true, "type": "string", "description": "Table and extension, for example daily_prices.parquet."},
			parameter("symbols", "Symbols, separated by commas. Empty means all."), parameter("start_date", `First date, inclusive, "YYYY-MM-DD".`),
			parameter("end_date", `Last date, inclusive, "YYYY-MM-DD".`), parameter("columns", "Columns, separated by commas. Empty means all."),
			parameter("adjust", "none, forward or backward."), parameter("require", "complete: returns 412 DATA_INCOMPLETE if something is missing."),
			parameter("version", "Published version. Empty means the current one."), parameter("pool", "targets or universe, the default."),
		},
		"responses": object{"200": object{"description": "The file.", "schema": object{"type": "file"}}},
	}}
}
