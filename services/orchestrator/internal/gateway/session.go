package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
	"github.com/afterbell/afterbell/services/orchestrator/internal/console"
)

const (
	// sessionPath is where the console logs in and out.
	sessionPath = "/v1/session"
	// sessionCookie is the name of the session's cookie.
	sessionCookie = "afterbell_session"
	// csrfHeader has the token that a change with the cookie needs.
	csrfHeader = "X-CSRF-Token"
)

// Access authenticates callers; *access.Keeper implements it.
type Access interface {
	// ByKey is the caller that sent a key; UNAUTHENTICATED or TOO_MANY_ATTEMPTS.
	ByKey(key, via, address string) (auth.Caller, error)
	// BySession is the caller that sent a cookie; UNAUTHENTICATED.
	BySession(cookie, address string) (auth.Caller, auth.Session, error)
	// Login opens a session with a key and returns its cookie.
	Login(ctx context.Context, key, address string) (auth.Caller, auth.Session, string, error)
	// Logout ends a caller's session.
	Logout(ctx context.Context, caller auth.Caller, cookie string) error
	// Until returns a context that also ends when the caller's key does.
	Until(ctx context.Context, caller auth.Caller) (context.Context, context.CancelFunc)
}

// open reports whether a path needs no key: it has no data, or is the log-in.
func open(path string) bool {
	return path == "/" || path == "/healthz" || path == sessionPath || strings.HasPrefix(path, console.AssetPath)
}

// identify authenticates the caller. A key takes precedence over a cookie.
func (g *gateway) identify(r *http.Request) (auth.Caller, error) {
	address := transport.HostOf(r.RemoteAddr)
	if header := r.Header.Get("Authorization"); header != "" {
		return g.access.ByKey(transport.BearerOf(header), auth.ViaREST, address)
	}
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		caller, _, err := g.access.BySession(cookie.Value, address)
		if err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
			err = auth.CheckCSRF(cookie.Value, r.Header.Get(csrfHeader))
		}
		if err == nil || g.required {
			return caller, err
		}
	}
	if g.required {
		return auth.Caller{}, auth.Refuse("missing")
	}
	return auth.Caller{Name: auth.Loopback, Role: auth.Admin, Via: auth.ViaREST, Address: address}, nil
}

// callerMetadata passes the caller to the gRPC side.
func callerMetadata(name string) func(context.Context, *http.Request) metadata.MD {
	return func(_ context.Context, r *http.Request) metadata.MD {
		return metadata.Pairs(name, auth.CallerOf(r.Context()).Encode())
	}
}

// session is the response of /v1/session.
type session struct {
	// Role is the caller's, as in ROLE_ADMIN; ROLE_UNSPECIFIED for nobody.
	Role string `json:"role"`
	// Name of the caller's key, or "loopback" without one if none is required; empty for
	// nobody.
	Name string `json:"name"`
	// AuthRequired is false if a caller without a key may do everything.
	AuthRequired bool `json:"authRequired"`
	// CSRFToken is for the header X-CSRF-Token of every change with the cookie. Empty without
	// a session.
	CSRFToken string `json:"csrfToken"`
	// ExpireTime is when the session ends. Null without one.
	ExpireTime *time.Time `json:"expireTime"`
}

func (g *gateway) sessionOf(caller auth.Caller, s auth.Session, cookie string) session {
	out := session{Role: "ROLE_UNSPECIFIED", Name: caller.Name, AuthRequired: g.required}
	if name, ok := roleNames[caller.Role]; ok {
		out.Role = name
	}
	if cookie != "" {
		out.CSRFToken, out.ExpireTime = auth.CSRF(cookie), &s.ExpiresAt
	}
	return out
}

var roleNames = map[auth.Role]string{auth.Viewer: "ROLE_VIEWER", auth.Operator: "ROLE_OPERATOR", auth.Admin: "ROLE_ADMIN"}

// serveSession returns the caller, logs in and logs out.
func (g *gateway) serveSession(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method {
	case http.MethodGet:
		err = g.whoami(w, r)
	case http.MethodPost:
		err = g.login(w, r)
	case http.MethodDelete:
		err = g.logout(w, r)
	default:
		w.Header().Set("Allow", "DELETE, GET, HEAD, POST")
		g.methodNotAllowed(w, r)
	}
	if err != nil {
		s := withReason(transport.ToStatus(err))
		g.writeError(w, r, httpCode(s), s)
	}
}

func (g *gateway) whoami(w http.ResponseWriter, r *http.Request) error {
	if cookie, err := r.Cookie(sessionCookie); err == nil && r.Header.Get("Authorization") == "" {
		caller, s, err := g.access.BySession(cookie.Value, transport.HostOf(r.RemoteAddr))
		if err == nil {
			writeJSON(w, http.StatusOK, g.sessionOf(caller, s, cookie.Value))
			return nil
		}
		g.setCookie(w, r, "", -1)
	}
	caller, err := g.identify(r)
	if r.Header.Get("Authorization") != "" && err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, g.sessionOf(caller, auth.Session{}, ""))
	return nil
}

func (g *gateway) login(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Key *string `json:"key"`
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		return fault.Invalid("body", `must be {"key":"…"}`) // its text may contain the key
	}
	if body.Key == nil || *body.Key == "" {
		return fault.Invalid("key", "is required")
	}
	caller, s, cookie, err := g.access.Login(r.Context(), *body.Key, transport.HostOf(r.RemoteAddr))
	if err != nil {
		return err
	}
	g.setCookie(w, r, cookie, int(time.Until(s.ExpiresAt)/time.Second))
	writeJSON(w, http.StatusOK, g.sessionOf(caller, s, cookie))
	return nil
}

func (g *gateway) logout(w http.ResponseWriter, r *http.Request) error {
	cookie, err := r.Cookie(sessionCookie)
	if err == nil {
		caller, _, err := g.access.BySession(cookie.Value, transport.HostOf(r.RemoteAddr))
		if err == nil {
			if err := auth.CheckCSRF(cookie.Value, r.Header.Get(csrfHeader)); err != nil {
				return err
			}
			err = g.access.Logout(r.Context(), caller, cookie.Value)
		}
		if err != nil && !fault.Is(err, fault.Unauthenticated) {
			return err
		}
	}
	g.setCookie(w, r, "", -1)
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}

// setCookie sets the cookie of a session, for TLS only if the browser used TLS, to this
// listener or to a proxy. Not every proxy reports it, but the log-in page does.
func (g *gateway) setCookie(w http.ResponseWriter, r *http.Request, value string, maxAge int) {
	secure := g.secure || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") || strings.HasPrefix(r.Header.Get("Origin"), "https://")
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	})
}

// refuse answers an unauthenticated caller, or one without the role.
func (g *gateway) refuse(w http.ResponseWriter, r *http.Request, err error) {
	if fault.Is(err, fault.Unauthenticated) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="afterbell"`)
	}
	s := withReason(transport.ToStatus(err))
	g.writeError(w, r, httpCode(s), s)
}

// ended is the reason why a caller's context ended early, or err.
func ended(ctx context.Context, err error) error {
	var cause *fault.Error
	if errors.As(context.Cause(ctx), &cause) {
		return cause
	}
	return err
}

// sessionOperations describe the log-in in the OpenAPI document.
func sessionOperations() object {
	answer := object{"200": object{"description": "Who the caller is.", "schema": object{
		"type": "object",
		"properties": object{
			"role":         object{"type": "string", "description": "ROLE_VIEWER, ROLE_OPERATOR or ROLE_ADMIN; ROLE_UNSPECIFIED for nobody."},
			"name":         object{"type": "string", "description": `Name of the caller's key; "loopback" without one where none is asked for; empty for nobody.`},
			"authRequired": object{"type": "boolean", "description": "False where a caller without a key may do everything."},
			"csrfToken":    object{"type": "string", "description": "Goes into the header X-CSRF-Token of every change by cookie. Empty without a session."},
			"expireTime":   object{"type": "string", "format": "date-time", "description": "When the session ends. Null without one."},
		},
	}}}
	operation := func(id, summary string, parameters ...any) object {
		return object{"summary": summary, "operationId": id, "tags": []any{"Session"}, "security": []any{}, "parameters": parameters, "responses": answer}
	}
	token := object{"name": csrfHeader, "in": "header", "required": false, "type": "string", "description": "The csrfToken of the session."}
	end := operation("Session_Delete", "Ends the session and drops the cookie.", token)
	end["responses"] = object{"200": object{"description": "There is no session any more.", "schema": object{"type": "object"}}}
	return object{
		"get": operation("Session_Get", "Tells who the caller is. Everybody may ask."),
		"post": operation("Session_Create", "Opens a session of 12 hours by a key and sets its cookie, which no script can read.", object{
			"name": "body", "in": "body", "required": true, "schema": object{"type": "object", "properties": object{"key": object{"type": "string"}}},
		}),
		"delete": end,
	}
}
