// Package scrape has what the programs share for Prometheus: a registry with the metrics of
// the process, and the page. The metrics themselves are in each program's package metrics.
package scrape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/afterbell/afterbell/services/internal/program"
	"github.com/afterbell/afterbell/services/internal/volume"
)

// Prefix of the names of all metrics.
const Prefix = "afterbell_"

// scrapeTime is the timeout of one scrape.
const scrapeTime = 9 * time.Second

// New returns a registry with the metrics of the Go runtime and of the process, and
// afterbell_build_info. It is independent of the library's global one.
func New(service string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: Prefix + "build_info", Help: "Version of the program, in labels. Always 1.",
		ConstLabels: prometheus.Labels{"service": service, "commit": program.Commit(), "goversion": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	return r
}

// Handler serves the metrics of a registry. A metric that cannot be read is logged and
// omitted; the others are served.
func Handler(r *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 4, Timeout: scrapeTime,
	})
}

// Files collects the sizes of files in a data directory, and the free space on its volume.
type Files struct {
	// Dir is the data directory.
	Dir string
	// Names of the files in Dir. A missing file has no metric.
	Names []string
}

var (
	fileBytes = prometheus.NewDesc(Prefix+"file_bytes", "Size of a file of the data directory, without its write-ahead log.", []string{"file"}, nil)
	freeBytes = prometheus.NewDesc(Prefix+"disk_free_bytes", "Free space on the volume of the data directory.", nil, nil)
)

// Describe implements prometheus.Collector.
func (f Files) Describe(ch chan<- *prometheus.Desc) { ch <- fileBytes; ch <- freeBytes }

// Collect implements prometheus.Collector. It opens no file.
func (f Files) Collect(ch chan<- prometheus.Metric) {
	for _, name := range f.Names {
		if info, err := os.Stat(filepath.Join(f.Dir, name)); err == nil {
			ch <- prometheus.MustNewConstMetric(fileBytes, prometheus.GaugeValue, float64(info.Size()), name)
		}
	}
	if n, err := volume.FreeBytes(filepath.Join(f.Dir, "here")); err == nil {
		ch <- prometheus.MustNewConstMetric(freeBytes, prometheus.GaugeValue, float64(n))
	}
}

// Server serves the metrics of a program without another HTTP server.
type Server struct {
	http *http.Server
	lis  net.Listener
	log  *slog.Logger
}

// NewServer returns a server of /metrics on a listener, which it owns. It does not serve
// yet.
func NewServer(lis net.Listener, r *prometheus.Registry, log *slog.Logger) *Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", Handler(r, log))
	return &Server{lis: lis, log: log, http: &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
}

// Addr is the address in use.
func (s *Server) Addr() string { return s.lis.Addr().String() }

// Run serves until ctx ends. The error is nil after a requested stop.
func (s *Server) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = s.http.Close() })() // a scrape in progress is not worth a wait
	if err := s.http.Serve(s.lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", s.Addr(), err)
	}
	return nil
}

// Close closes all connections. Closing after Run has no effect.
func (s *Server) Close() error {
	if err := errors.Join(s.http.Close(), s.lis.Close()); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
