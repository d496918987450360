package tusharesim

import (
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

const contentType = "application/json; charset=utf-8"

const htmlPage = `<!DOCTYPE html>
<html><head><title>%s</title></head>
<body><center><h1>%s</h1></center><hr><center>nginx</center></body></html>
`

// buffers are reused: a page of daily_basic needs about a megabyte.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<20); return &b }}

// maxKept is the largest buffer, in bytes, that is kept.
const maxKept = 8 << 20

// appendID writes a random request_id in the form of a UUID.
func appendID(dst []byte) []byte {
	const hex = "0123456789abcdef"
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			dst = append(dst, '-')
		}
		n := hi >> (4 * (i & 15))
		if i >= 16 {
			n = lo >> (4 * (i & 15))
		}
		dst = append(dst, hex[n&15])
	}
	return dst
}

func appendReply(dst []byte, p *plan) []byte {
	dst = appendID(append(dst, `{"request_id":"`...))
	dst = append(dst, `","code":0,"data":{"fields":[`...)
	for i, n := range p.q.names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, wire.Quote(n)...)
	}
	dst = append(dst, `],"items":[`...)
	dst = p.appendRows(dst)
	dst = append(dst, `],"has_more":`...)
	dst = strconv.AppendBool(dst, p.more)
	// count is -1 or 0 and never the number of rows, as at the provider.
	count := `,"count":-1},"msg":"","detail":""}`
	if p.count() == 0 {
		count = `,"count":0},"msg":"","detail":""}`
	}
	return append(dst, count...)
}

func appendRefusal(dst []byte, r *refusal) []byte {
	dst = appendID(append(dst, `{"request_id":"`...))
	dst = strconv.AppendInt(append(dst, `","code":`...), int64(r.code), 10)
	dst = append(append(dst, `,"data":null,"msg":`...), wire.Quote(r.msg)...)
	return append(dst, `,"detail":""}`...)
}

// write sends a body with its length. It ignores a client that has gone.
func write(w http.ResponseWriter, status int, typ string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", typ)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// writeTruncated sends the length of the whole body and half of it; the server then closes the
// connection.
func writeTruncated(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body[:len(body)/2])
}

// reset ends the connection with a TCP reset, or as hard as the transport allows.
func reset(w http.ResponseWriter) {
	hj, ok := w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := hj.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
