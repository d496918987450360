package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // callers may compress; the limit applies to the decompressed size
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/test/bufconn"
)

// Default limits of the server.
const (
	// DefaultMaxRequest is the largest request, in bytes.
	DefaultMaxRequest = 4 << 20
	// DefaultStopTimeout is how long a graceful stop may take.
	DefaultStopTimeout = 10 * time.Second
	// maxHeader is the largest metadata of a call, in bytes. gRPC reads it before the caller
	// is authenticated, and its default of 16 MiB would let callers without a key fill the
	// memory. REST takes half of it.
	maxHeader = 128 << 10
	// handshakeTimeout is the timeout of a connection's handshake.
	handshakeTimeout = 20 * time.Second
)

// ownLimits limit the calls of gRPC's own services, mainly health checks: callers need no
// key for them, so the limits are per address.
var ownLimits = LimitConfig{Streams: 256, StreamsPerCaller: 64}

// ServerConfig is the configuration of a Server.
type ServerConfig struct {
	// Logger gets one line per failed call, and at debug one per call. Required.
	Logger *slog.Logger
	// Listener; the server owns and closes it; see Listen. Required.
	Listener net.Listener
	// MaxRequest is the largest request, in bytes. 0 means 4 MiB.
	MaxRequest int
	// StopTimeout is how long calls may continue after Run's context ended. 0 means 10 s.
	StopTimeout time.Duration
	// Say changes each sentence of a response or an error; it is called concurrently. Nil
	// changes nothing.
	Say func(string) string
	// Authorize is called first for every call. Nil admits all.
	Authorize Authorize
	// Limits on open calls. Nil means none.
	Limits *Limits
	// Caller identifies the caller for Limits, from the context that Authorize returned. Nil
	// means the address.
	Caller func(context.Context) string
	// Credentials of the listener's connections. Nil means no TLS.
	Credentials credentials.TransportCredentials
	// Unary and Stream are called between the server's own checks and the handlers. Nil means
	// none.
	Unary  grpc.UnaryServerInterceptor
	Stream grpc.StreamServerInterceptor
	// CallTimeout is the timeout of a call that is not a stream; it then fails with
	// CALL_TIMEOUT. 0 means no limit.
	CallTimeout time.Duration
	// ReceiveTimeout is how long a request may take to arrive once its call is open. 0
	// means no limit.
	ReceiveTimeout time.Duration
	// Options are applied after the server's own and may replace them, as in tests.
	Options []grpc.ServerOption
}

// Server is a gRPC server with reflection, health, recovery and the errors of
// package fault. Register services, then Run it.
type Server struct {
	grpc   *grpc.Server
	guard  guard
	inside insideListener // see DialInside
	health *health.Server
	cfg    ServerConfig
}

// NewServer returns a server on the listener. It does not serve yet.
func NewServer(cfg ServerConfig) *Server {
	if cfg.MaxRequest == 0 {
		cfg.MaxRequest = DefaultMaxRequest
	}
	if cfg.StopTimeout == 0 {
		cfg.StopTimeout = DefaultStopTimeout
	}
	if cfg.Credentials == nil {
		cfg.Credentials = insecure.NewCredentials()
	}
	g := guard{cfg: cfg, own: NewLimits(ownLimits)}
	s := &Server{
		cfg:    cfg,
		guard:  g,
		inside: insideListener{bufconn.Listen(insideBuffer)},
		health: health.NewServer(),
		grpc: grpc.NewServer(append([]grpc.ServerOption{
			grpc.Creds(serverCredentials{cfg.Credentials}),
			grpc.ForceServerCodecV2(newCodec()),
			// Requests of up to four times the limit are read, so that the error can name the field;
			// beyond that gRPC returns RESOURCE_EXHAUSTED.
			grpc.MaxRecvMsgSize(4 * cfg.MaxRequest),
			grpc.MaxSendMsgSize(maxReply),
			grpc.MaxHeaderListSize(maxHeader),
			grpc.WriteBufferSize(ioBuffer),
			experimental.BufferPool(buffers),
			grpc.ConnectionTimeout(handshakeTimeout),
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
			grpc.StreamInterceptor(g.stream), // for the others see described
			grpc.UnknownServiceHandler(unknown),
		}, cfg.Options...)...),
	}
	s.grpc.RegisterService(g.described(&healthgrpc.Health_ServiceDesc), s.health)
	reflection.Register(s.grpc)
	return s
}

// RegisterService implements grpc.ServiceRegistrar and marks the service as
// serving.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.grpc.RegisterService(s.guard.described(desc), impl)
	s.health.SetServingStatus(desc.ServiceName, healthgrpc.HealthCheckResponse_SERVING)
}

// Addr is the address in use, "127.0.0.1:7700".
func (s *Server) Addr() string { return s.cfg.Listener.Addr().String() }

// Run serves until ctx ends, then lets the calls in progress finish for StopTimeout and
// cancels the rest. Long streams should end with ctx themselves; otherwise Run waits for
// them. The error is nil after a requested stop.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	within := make(chan struct{})
	go func() {
		defer close(within)
		_ = s.grpc.Serve(s.inside) // it ends with the server and has no other end
	}()
	go func() { served <- s.grpc.Serve(s.cfg.Listener) }()
	select {
	case err := <-served:
		s.grpc.Stop()
		<-within
		return fmt.Errorf("serve gRPC on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	s.health.Shutdown()
	stopped := make(chan struct{})
	go func() { s.grpc.GracefulStop(); close(stopped) }()
	timeout := time.NewTimer(s.cfg.StopTimeout)
	defer timeout.Stop()
	select {
	case <-stopped:
	case <-timeout.C:
		s.cfg.Logger.Warn("open calls were aborted", "addr", s.Addr(), "after", s.cfg.StopTimeout)
		s.grpc.Stop()
		<-stopped
	}
	<-within
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve gRPC on %s: %w", s.Addr(), err)
	}
	return nil
}

// Close cancels everything at once. It is for a server that never ran; closing after Run
// has no effect.
func (s *Server) Close() error {
	s.grpc.Stop()
	if err := s.cfg.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
