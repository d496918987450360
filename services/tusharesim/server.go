package tusharesim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Server is a Sim that listens.
type Server struct {
	*Sim
	// URL of the provider, without a slash at the end.
	URL string
	// Addr is host:port in use.
	Addr string

	http *http.Server
	done chan struct{}
	err  error
	stop func() bool
	once sync.Once
}

// Start builds a Sim and listens on a free port of loopback until Close, or until
// ctx ends.
func Start(ctx context.Context, o Options) (*Server, error) { return StartAt(ctx, "127.0.0.1:0", o) }

// StartAt is Start with an address. It refuses addresses other than loopback, because the
// control endpoint requires no password.
func StartAt(ctx context.Context, addr string, o Options) (*Server, error) {
	if err := loopback(addr); err != nil {
		return nil, err
	}
	s, err := New(o)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken by another program, perhaps another tushare-sim; stop that, or choose another address (%w)", addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	srv := &Server{
		Sim: s, URL: "http://" + l.Addr().String(), Addr: l.Addr().String(), done: make(chan struct{}),
		http: &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 5 * time.Minute},
	}
	go func() {
		defer close(srv.done)
		if err := srv.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			srv.err = err
		}
	}()
	srv.stop = context.AfterFunc(ctx, func() { _ = srv.Close() })
	return srv, nil
}

func loopback(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q is not host:port", addr)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("address %q has no port from 0 to 65535", addr)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("address %q is not loopback: the control endpoint asks for no password, so nothing else is allowed", addr)
}

// Close closes all connections and waits until the listener has stopped. It may be called more
// than once.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.stop()
		s.ReleaseHangs()
		if err := s.http.Close(); err != nil {
			s.err = errors.Join(s.err, err)
		}
	})
	<-s.done
	return s.err
}

// Shutdown waits for the calls in progress until ctx ends, then aborts them.
func (s *Server) Shutdown(ctx context.Context) error {
	s.ReleaseHangs()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("calls still in hand: %w", err), s.Close())
	}
	return s.Close()
}

// Done is closed when the listener has stopped, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.done }

// TB is what StartTest needs of a testing.TB.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// StartTest is Start for a test: an error fails the test, and the server is closed at its end.
func StartTest(t TB, o Options) *Server {
	t.Helper()
	s, err := Start(context.Background(), o)
	if err != nil {
		t.Fatalf("start the simulator: %v", err)
		return nil
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
