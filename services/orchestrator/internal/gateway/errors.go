package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// errorBody is the form of every error.
type errorBody struct {
	// Code is the canonical gRPC code, Status its name.
	Code   int    `json:"code"`
	Status string `json:"status"`
	// Message is one sentence for users.
	Message string `json:"message"`
	// Details are those of google.rpc.Status, including an ErrorInfo.
	Details []json.RawMessage `json:"details"`
}

// maxMessage is the longest message in a response; it may contain text of the caller.
const maxMessage = 1000

func errorJSON(s *status.Status) []byte {
	s = withReason(s)
	body := errorBody{Code: int(s.Code()), Status: codeName(s.Code()), Message: s.Message(), Details: []json.RawMessage{}}
	for _, detail := range s.Proto().GetDetails() {
		if b, err := protojson.Marshal(detail); err == nil { // a type that is not linked in cannot be encoded
			body.Details = append(body.Details, b)
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string]errorBody{"error": body}); err != nil {
		return []byte(`{"error":{"code":13,"status":"INTERNAL","message":"` + transport.InternalMessage + `","details":[]}}`)
	}
	return bytes.TrimSpace(out.Bytes())
}

// codeName is the name of a code in google.rpc.Code.
func codeName(c codes.Code) string {
	return code.Code(c).String()
}

// withReason adds a reason to a status that our server did not create: an unreadable
// request is INVALID_ARGUMENT, the rest INTERNAL.
func withReason(s *status.Status) *status.Status {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == fault.Domain {
			return s
		}
	}
	switch s.Code() {
	case codes.InvalidArgument:
		return transport.ToStatus(requestFault(s.Message()))
	case codes.NotFound:
		return transport.ToStatus(fault.New(fault.NotFound, clip(s.Message())))
	case codes.ResourceExhausted:
		return transport.ToStatus(fault.Invalid("body", "is too large"))
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return transport.ToStatus(fault.New(fault.Internal, transport.InternalMessage))
	}
	// gRPC's own texts about connections and contexts contain our addresses and calls.
	with, err := status.New(s.Code(), plainly(s.Code())).WithDetails(
		&errdetails.ErrorInfo{Reason: string(fault.Internal), Domain: fault.Domain})
	if err != nil {
		return s
	}
	return with
}

// plainly is the message for a status that our server did not create.
func plainly(c codes.Code) string {
	switch c {
	case codes.Canceled:
		return "The request was cancelled."
	case codes.DeadlineExceeded:
		return "The request took too long."
	case codes.Unavailable:
		return "The service cannot answer at the moment; repeat the request."
	case codes.Unimplemented:
		return "The method is not implemented."
	}
	return transport.InternalMessage
}

// requestFault restores the error of a decoder here (see mark), or wraps grpc-gateway's
// error about a parameter.
func requestFault(message string) error {
	if parts := strings.SplitN(message, markSeparator, 4); len(parts) >= 3 && parts[0] == "" {
		return fault.Invalid(parts[1], "%s", clip(parts[2]))
	}
	return fault.Invalid("request", "%s", clip(message))
}

func clip(s string) string { return fault.Clip(s, maxMessage) }

// httpCode is the HTTP code of a status, by google.rpc.Code's mapping.
func httpCode(s *status.Status) int { return runtime.HTTPStatusFromCode(s.Code()) }

func (g *gateway) writeError(w http.ResponseWriter, r *http.Request, httpCode int, s *status.Status) {
	if transport.PrefersChinese(r.Header.Values("Accept-Language")) {
		s = transport.LocalizeStatus(s)
	}
	h := w.Header()
	h.Del("Trailer")
	h.Del("Transfer-Encoding")
	h.Set("Content-Type", "application/json")
	retryAfter(h, s)
	w.WriteHeader(httpCode)
	w.Write(append(errorJSON(s), '\n')) // the caller has disconnected
}

// fail answers with an error of the gateway itself. Those of an RPC name the address of
// this process already.
func (g *gateway) fail(w http.ResponseWriter, r *http.Request, httpCode int, err error) {
	g.writeError(w, r, httpCode, transport.TellStatus(transport.ToStatus(err), g.say))
}

// retryAfter sets the Retry-After header if a status has a retry time.
func retryAfter(h http.Header, s *status.Status) {
	for _, detail := range s.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			wait := (retry.GetRetryDelay().AsDuration() + time.Second - 1) / time.Second
			h.Set("Retry-After", strconv.FormatInt(int64(max(wait, 1)), 10))
		}
	}
}

// onError answers a call that failed before anything was written.
func (g *gateway) onError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	s := withReason(status.Convert(err))
	g.writeError(w, r, httpCode(s), s)
}

// headerOf is the key of a response's header in its request's context.
type headerOf struct{}

// onStreamError is the status with which a stream ends. If it has not begun, the
// Retry-After header is set, which grpc-gateway would omit.
func onStreamError(ctx context.Context, err error) *status.Status {
	s := withReason(status.Convert(err))
	if h, ok := ctx.Value(headerOf{}).(http.Header); ok {
		retryAfter(h, s)
	}
	return s
}

// onRouteError answers a path or a method without an RPC.
func (g *gateway) onRouteError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	switch code {
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", g.allowed(r.URL))
		g.methodNotAllowed(w, r)
	case http.StatusNotFound:
		g.fail(w, r, code, fault.New(fault.NotFound,
			clip("There is no resource at "+r.URL.Path+"; see /openapi.json."), "kind", "path", "id", clip(r.URL.Path)))
	default:
		g.fail(w, r, http.StatusBadRequest, fault.Invalid("path", "is malformed"))
	}
}

func (g *gateway) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	g.fail(w, r, http.StatusMethodNotAllowed,
		fault.Invalid("method", "%s is not served at %s; see /openapi.json", clip(r.Method), clip(r.URL.Path)))
}
