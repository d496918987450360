package tusharesim

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
)

// Limits of a request body in bytes: at most maxBody is read. Up to maxDrain is discarded so
// that the caller can read the refusal.
const (
	maxBody  = 1 << 20
	maxDrain = 64 << 20
)

// Handler serves the provider on /, /dataapi and /dataapi/{api}, and the control
// endpoint under /_sim/.
func (s *Sim) Handler() http.Handler {
	control := s.control()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(p)
				}
				slog.Error("simulator broke", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				write(w, http.StatusInternalServerError, contentType, appendRefusal(nil, &refusal{50101, "模拟器内部错误"}))
			}
		}()
		path := r.URL.Path
		api, isAPI := strings.CutPrefix(path, "/dataapi/")
		switch {
		case path == "/" || path == "/dataapi":
			s.serve(w, r, "")
		case isAPI && !strings.Contains(api, "/"):
			s.serve(w, r, api)
		case path == "/_sim" || strings.HasPrefix(path, "/_sim/"):
			control.ServeHTTP(w, r)
		default:
			write(w, http.StatusNotFound, contentType, appendRefusal(nil, &refusal{CodeBadParameter, "没有这个地址"}))
		}
	})
}

// serve answers one call to the provider. pathAPI is used when the body names no
// interface.
func (s *Sim) serve(w http.ResponseWriter, r *http.Request, pathAPI string) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		write(w, http.StatusMethodNotAllowed, contentType, appendRefusal(nil, &refusal{CodeBadParameter, "请使用POST方法"}))
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		write(w, http.StatusBadRequest, contentType, appendRefusal(nil, &refusal{CodeBadParameter, "请求体不完整"}))
		return
	}
	if len(body) > maxBody {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
		msg := fmt.Sprintf("请求体过大，最多%d字节", maxBody)
		write(w, http.StatusRequestEntityTooLarge, contentType, appendRefusal(nil, &refusal{CodeBadParameter, msg}))
		return
	}
	req, ok := parseRequest(body)
	if !ok {
		write(w, http.StatusOK, contentType, appendRefusal(nil, &refusal{CodeBadParameter, "请求不是有效的JSON；" + MsgBadParameter}))
		return
	}
	if req.api == "" {
		req.api = pathAPI
	}
	s.answer(r.Context(), w, req)
}

// answer is the state of a call from its arrival to its reply.
func (s *Sim) answer(ctx context.Context, w http.ResponseWriter, req request) {
	s.mu.Lock()
	call := s.arrive(req)
	fault := s.match(req.api, req.params)
	delay := s.latency
	if s.jitter > 0 {
		delay += time.Duration(s.rng.Int64N(int64(s.jitter)))
	}
	s.mu.Unlock()
	defer s.done(call)
	if fault != nil {
		call.Fault = fault.Kind
		delay += time.Duration(fault.DelayMS) * time.Millisecond
	}
	if !sleep(ctx, delay) {
		return
	}
	if fault != nil {
		switch fault.Kind {
		case HTTP500, HTTP502, HTTP503, HTTP403, HTTP429:
			status := map[FaultKind]int{HTTP500: 500, HTTP502: 502, HTTP503: 503, HTTP403: 403, HTTP429: 429}[fault.Kind]
			if fault.RetryAfter > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(fault.RetryAfter))
			}
			title := fmt.Sprintf("%d %s", status, http.StatusText(status))
			write(w, status, "text/html", fmt.Appendf(nil, htmlPage, title, title))
			return
		case Redirect:
			w.Header().Set("Location", "http://127.0.0.1:9/")
			write(w, http.StatusFound, "text/html; charset=utf-8", nil)
			return
		case HTMLPage:
			write(w, http.StatusOK, "text/html; charset=utf-8", fmt.Appendf(nil, htmlPage, "系统维护", "系统维护中"))
			return
		case Reset:
			reset(w)
			return
		case Hang:
			if !s.wait(ctx) {
				return
			}
		}
	}
	p, bad, err := s.prepare(req, fault)
	switch {
	case err != nil:
		write(w, http.StatusInternalServerError, contentType, appendRefusal(nil, &refusal{CodeBadParameter, "模拟器读不出数据：" + err.Error()}))
		return
	case bad != nil:
		call.Code = bad.code
		s.send(w, fault, func(dst []byte) []byte { return appendRefusal(dst, bad) })
		return
	}
	call.Rows = p.count()
	s.send(w, fault, func(dst []byte) []byte { return appendReply(dst, p) })
}

// send formats a reply and writes it, complete or broken.
func (s *Sim) send(w http.ResponseWriter, fault *Fault, render func([]byte) []byte) {
	buf := buffers.Get().(*[]byte)
	body := render((*buf)[:0])
	defer func() {
		if cap(body) <= maxKept {
			*buf = body[:0]
			buffers.Put(buf)
		}
	}()
	if fault != nil {
		switch fault.Kind {
		case TruncatedBody:
			writeTruncated(w, body)
			return
		case BOM:
			write(w, http.StatusOK, contentType, append([]byte("\ufeff"), body...))
			return
		case MalformedJSON:
			write(w, http.StatusOK, contentType, append(slices.Clone(body[:len(body)/2]), "NaN,}"...))
			return
		}
	}
	write(w, http.StatusOK, contentType, body)
}

// prepare checks token, permission, limits and parameters in the provider's order
// and finds the rows.
func (s *Sim) prepare(req request, fault *Fault) (*plan, *refusal, error) {
	api := spec.Lookup(req.api)
	s.mu.Lock()
	bad := s.admit(req, api, fault)
	var v view
	if bad == nil {
		v = s.look(api)
	}
	s.mu.Unlock()
	if bad != nil {
		return nil, bad, nil
	}
	q, bad := parseQuery(api, req.params, req.fields)
	if bad != nil {
		return nil, bad, nil
	}
	if fault != nil && fault.Kind == LongList {
		// The provider uses the first codes in the order of the request.
		q.codes = codeList(strings.Join(sentCodes(req.params["ts_code"])[:orInt(fault.N, longList)], ","))
	}
	p, err := s.page(q, v, fault)
	if err != nil {
		return nil, nil, err
	}
	if len(q.cols) == 0 {
		p.refs, p.rows, p.more = nil, nil, false
	}
	return p, nil, nil
}

// admit decides whether a call is accepted. The caller holds mu.
func (s *Sim) admit(req request, api *spec.API, fault *Fault) *refusal {
	token := digest(sha256.Sum256([]byte(req.token)))
	grant, listed := s.tokens[token]
	kind := FaultKind("")
	if fault != nil {
		kind = fault.Kind
	}
	if req.token == "" || s.allGone || s.revoked[token] || len(s.tokens) > 0 && !listed || kind == BadToken {
		return &refusal{CodeBadToken, MsgBadToken}
	}
	if kind == TooManyIPs {
		return &refusal{CodeTooManyIPs, MsgTooManyIPs}
	}
	if api == nil {
		return &refusal{CodeBadParameter, MsgUnknownAPI}
	}
	points := s.points
	if listed && grant.Points != 0 {
		points = grant.Points
	}
	if kind == NoPermission || s.deny[api.Name] || slices.Contains(grant.Deny, api.Name) || points != 0 && points < api.Points {
		return &refusal{CodeRefused, msgNoPermission(api.Name)}
	}
	switch kind {
	case MinuteLimit:
		return &refusal{CodeRefused, Limit{N: orInt(fault.N, 200), Per: PerMinute, Text: fault.Text}.refusal(api.Name)}
	case HourLimit:
		return &refusal{CodeRefused, Limit{N: orInt(fault.N, 1), Per: PerHour, Text: fault.Text}.refusal(api.Name)}
	case DayQuota:
		return &refusal{CodeRefused, Limit{N: orInt(fault.N, 100000), Per: PerDay, Text: fault.Text}.refusal(api.Name)}
	case BadRequest:
		return badParameter
	case LongList:
		if fault.Mode != ModeCut {
			return &refusal{orInt(fault.Code, CodeBadParameter), cmp.Or(fault.Text, MsgBadParameter)}
		}
	case AnyCode:
		return &refusal{fault.Code, fault.Text}
	case DataNull:
		return &refusal{CodeOK, fault.Text}
	}
	if l := s.limiter.take(s.now(), token, api); l != nil {
		return &refusal{CodeRefused, l.refusal(api.Name)}
	}
	return nil
}

func orInt(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

// sleep waits; it returns false if the caller has gone.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
