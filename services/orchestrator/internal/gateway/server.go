package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"

	gatewayv1 "github.com/afterbell/afterbell/gen/gateway/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/console"
	"github.com/afterbell/afterbell/services/orchestrator/internal/rows"
)

// readyTime is the timeout of /readyz.
const readyTime = 3 * time.Second

// stopTime is how long responses may continue after Run's context ended.
const stopTime = 10 * time.Second

// Config is the configuration of a Server. Every field except TLS and KeysRequired is
// required.
type Config struct {
	// Logger gets panics, and what a stop cancelled.
	Logger *slog.Logger
	// Listener; the server owns and closes it.
	Listener net.Listener
	// Conn to the orchestrator's own gRPC server; errors must come as statuses. The
	// caller closes it.
	Conn *grpc.ClientConn
	// Ready is called by /readyz.
	Ready func(context.Context) Status
	// Metrics serves Prometheus at /metrics.
	Metrics http.Handler
	// Rows of published versions, for /v1/data/{table}.
	Rows *rows.Source
	// Say changes each sentence of an error of Rows or of the Server itself, as in
	// transport.ServerConfig. Nil changes nothing.
	Say func(string) string
	// Access authenticates callers.
	Access Access
	// KeysRequired rejects callers without a key. Otherwise they may do everything, and only
	// requests to a loopback name are served.
	KeysRequired bool
	// Loopback is true if only this machine reaches the listener.
	Loopback bool
	// CallerMetadata is the metadata in which Conn gets the caller.
	CallerMetadata string
	// TLS of the listener. Nil means plain HTTP.
	TLS *tls.Config
	// PublicHosts are host names of a reverse proxy, with or without a port.
	PublicHosts []string
	// Origins are the sites whose pages may call. Empty means only the service's own.
	Origins []string
	// Limits counts responses with rows as streams, in addition to the streams of Conn's server.
	// Nil means none.
	Limits *transport.Limits
	// MaxBody is the largest request body read, in bytes; 0 means 1 MiB. BodyTime is how
	// long it may take to arrive; 0 means 20 s. StallTime is how long a reader of rows may
	// read nothing; 0 means 30 s.
	MaxBody             int64
	BodyTime, StallTime time.Duration
}

// Server is the HTTP side of the orchestrator.
type Server struct {
	http *http.Server
	cfg  Config
}

type gateway struct {
	log                 *slog.Logger
	ready               func(context.Context) Status
	rows                *rows.Source
	say                 func(string) string
	console             *console.Console
	access              Access
	required            bool // see Config.KeysRequired
	loopback            bool // see Config.Loopback
	secure              bool // whether TLS is on
	hosts               []string
	origins             []string
	limits              *transport.Limits
	maxBody             int64
	bodyTime, stallTime time.Duration
	document            []byte  // see document
	routes              []route // in it
}

// NewServer builds the server. It does not serve yet.
func NewServer(ctx context.Context, cfg Config) (*Server, error) {
	h, err := Handler(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, http: &http.Server{
		Handler:           h,
		TLSConfig:         cfg.TLS,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    readHeader,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
		// No write timeout: a stream lasts as long as its run. A body has a deadline of its own,
		// see readBody.
	}}, nil
}

// Handler is everything the server serves. Listener is not used.
func Handler(ctx context.Context, cfg Config) (http.Handler, error) {
	doc, routes, err := document()
	if err != nil {
		return nil, err
	}
	web, err := console.New()
	if err != nil {
		return nil, err
	}
	g := &gateway{log: cfg.Logger, ready: cfg.Ready, rows: cfg.Rows, say: cfg.Say, console: web, document: doc, routes: routes,
		access: cfg.Access, required: cfg.KeysRequired, loopback: cfg.Loopback, secure: cfg.TLS != nil,
		hosts: cfg.PublicHosts, origins: cfg.Origins, limits: cfg.Limits, maxBody: cmp.Or(cfg.MaxBody, defaultBody),
		bodyTime: cmp.Or(cfg.BodyTime, defaultBodyTime), stallTime: cmp.Or(cfg.StallTime, transport.StallTimeout)}
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, jsonMarshaler{}),
		runtime.WithMarshalerOption("text/event-stream", sseMarshaler{}),
		runtime.SetQueryParameterParser(&strictQuery{}),
		runtime.WithErrorHandler(g.onError),
		runtime.WithStreamErrorHandler(onStreamError),
		runtime.WithRoutingErrorHandler(g.onRouteError),
		// A POST is never treated as a GET, whatever its content type.
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptReserved),
		// Of a request's headers, only the language becomes metadata, and no metadata of the
		// server becomes a header.
		runtime.WithMetadata(callerMetadata(cfg.CallerMetadata)),
		runtime.WithIncomingHeaderMatcher(func(name string) (string, bool) {
			return transport.LanguageKey, strings.EqualFold(name, transport.LanguageKey)
		}),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)
	for _, register := range []func(context.Context, *runtime.ServeMux, *grpc.ClientConn) error{
		gatewayv1.RegisterPreflightServiceHandler,
		gatewayv1.RegisterRunServiceHandler,
		gatewayv1.RegisterPoolServiceHandler,
		gatewayv1.RegisterModuleServiceHandler,
		gatewayv1.RegisterTargetServiceHandler,
		gatewayv1.RegisterScheduleServiceHandler,
		gatewayv1.RegisterSettingsServiceHandler,
		gatewayv1.RegisterLimitServiceHandler,
		gatewayv1.RegisterInfoServiceHandler,
		gatewayv1.RegisterTokenServiceHandler,
		gatewayv1.RegisterNoticeServiceHandler,
		gatewayv1.RegisterDataServiceHandler,
		gatewayv1.RegisterKeyServiceHandler,
		gatewayv1.RegisterAuditServiceHandler,
	} {
		if err := register(ctx, mux, cfg.Conn); err != nil {
			return nil, fmt.Errorf("register REST handlers: %w", err)
		}
	}
	pages := map[string]http.HandlerFunc{
		sessionPath: g.serveSession,
		"/":         g.page(g.index), "/healthz": g.page(g.healthz), "/readyz": g.page(g.readyz), "/openapi.json": g.page(g.openapi),
		"/metrics": g.page(cfg.Metrics.ServeHTTP),
	}
	return g.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if page, ok := pages[r.URL.Path]; ok {
			page(w, r)
			return
		}
		if isRows(r.URL.Path) {
			g.serveRows(w, r)
			return
		}
		if strings.HasPrefix(r.URL.Path, console.AssetPath) && r.Method == http.MethodGet && g.console.Asset(w, r) {
			return
		}
		mux.ServeHTTP(w, r)
	})), nil
}

// Addr is the address that is used, "127.0.0.1:7780".
func (s *Server) Addr() string { return s.cfg.Listener.Addr().String() }

// Run serves until ctx ends, then lets responses in progress finish for ten seconds and
// cancels the rest. The error is nil after a requested stop.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	serve := s.http.Serve
	if s.cfg.TLS != nil {
		serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
	}
	go func() { served <- serve(s.cfg.Listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := s.http.Shutdown(stop); err != nil {
		s.cfg.Logger.Warn("open responses were aborted", "addr", s.Addr(), "after", stopTime)
		_ = s.http.Close() // it is stopping; aborted responses have been reported
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), err)
	}
	return nil
}

// Close cancels everything at once. It is for a server that never ran; closing after Run
// has no effect.
func (s *Server) Close() error {
	if err := errors.Join(s.http.Close(), s.cfg.Listener.Close()); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
