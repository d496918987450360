package stack

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// Config says what to start. Flags are added to those that the stack sets itself.
type Config struct {
	// Bin is the folder of the built programs.
	Bin string
	// Data is the data directory of both services; logs go to its folder logs.
	Data string
	// SimFlags are added to the simulator's own. They do nothing with ProviderURL.
	SimFlags []string
	// ProviderURL is the provider to use. Empty starts a simulator.
	ProviderURL string
	// WorkerFlags and OrchestratorFlags are added to the services' own.
	WorkerFlags, OrchestratorFlags []string
	// Env is added to the environment of every process.
	Env []string
	// WorkerAddr, GRPCAddr and HTTPAddr of the orchestrator, and SimAddr are where to
	// listen. Empty chooses a free port, which is filled in after the start.
	WorkerAddr, GRPCAddr, HTTPAddr, SimAddr string
	// MetricsAddr is where the worker's metrics are served. Empty serves none.
	MetricsAddr string
}

// Stack is a running pair with its provider.
type Stack struct {
	// Config it was started with, with the addresses in use filled in.
	Config Config
	// Sim is nil when a real provider is used.
	Sim *Process
	// Worker is the ingest-worker.
	Worker *Process
	// Orchestrator is the orchestrator.
	Orchestrator *Process
	// Conn reaches the public API.
	Conn *grpc.ClientConn
}

const anyPort = "127.0.0.1:0"

// New starts simulator, worker and orchestrator, in this order.
func New(ctx context.Context, c Config) (*Stack, error) {
	s := &Stack{Config: c}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	if s.Config.ProviderURL == "" {
		if err := s.StartSim(ctx); err != nil {
			return err
		}
	}
	if err := s.StartWorker(ctx); err != nil {
		return err
	}
	return s.StartOrchestrator(ctx)
}

func (s *Stack) log(name string) string { return filepath.Join(s.Config.Data, "logs", name+".log") }

// StartSim starts the simulator, at its former address after the first time.
func (s *Stack) StartSim(ctx context.Context) (err error) {
	args := append([]string{"--addr", cmp.Or(s.Config.SimAddr, anyPort)}, s.Config.SimFlags...)
	if s.Sim, err = Start(ctx, s.Config.Bin, "tushare-sim", s.log("tushare-sim"), args, s.Config.Env, ""); err != nil {
		return err
	}
	s.Config.SimAddr = s.Sim.Addr("")
	return nil
}

// SimURL is the base URL of the provider in use.
func (s *Stack) SimURL() string {
	return cmp.Or(s.Config.ProviderURL, "http://"+s.Config.SimAddr)
}

// StartWorker starts the worker, at its former address after the first time.
func (s *Stack) StartWorker(ctx context.Context) (err error) {
	args := append([]string{
		"--data-dir", s.Config.Data, "--grpc-addr", cmp.Or(s.Config.WorkerAddr, anyPort), "--tushare-url", s.SimURL(),
	}, s.Config.WorkerFlags...)
	listens := []string{"grpc"}
	if s.Config.MetricsAddr != "" {
		args, listens = append(args, "--metrics-addr", s.Config.MetricsAddr), append(listens, "http")
	}
	if s.Worker, err = Start(ctx, s.Config.Bin, "ingest-worker", s.log("ingest-worker"), args, s.Config.Env, listens...); err != nil {
		return err
	}
	s.Config.WorkerAddr = s.Worker.Addr("grpc")
	if s.Config.MetricsAddr != "" {
		s.Config.MetricsAddr = s.Worker.Addr("http")
	}
	return nil
}

// StartOrchestrator starts the orchestrator, at its former addresses after the
// first time, and connects to it.
func (s *Stack) StartOrchestrator(ctx context.Context) (err error) {
	args := append([]string{
		"--data-dir", s.Config.Data, "--worker-addr", s.Config.WorkerAddr,
		"--grpc-addr", cmp.Or(s.Config.GRPCAddr, anyPort), "--http-addr", cmp.Or(s.Config.HTTPAddr, anyPort),
	}, s.Config.OrchestratorFlags...)
	if s.Orchestrator, err = Start(ctx, s.Config.Bin, "orchestrator", s.log("orchestrator"), args, s.Config.Env, "grpc", "http"); err != nil {
		return err
	}
	s.Config.GRPCAddr, s.Config.HTTPAddr = s.Orchestrator.Addr("grpc"), s.Orchestrator.Addr("http")
	if s.Conn != nil {
		return nil // it reconnects by itself
	}
	s.Conn, err = grpc.NewClient(s.Config.GRPCAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	return err
}

// Runs is a client of the run service.
func (s *Stack) Runs() orchestratorv1.RunServiceClient {
	return orchestratorv1.NewRunServiceClient(s.Conn)
}

// Close stops everything in reverse order.
func (s *Stack) Close() error {
	var errs []error
	if s.Conn != nil {
		errs = append(errs, s.Conn.Close())
	}
	for _, p := range []*Process{s.Orchestrator, s.Worker, s.Sim} {
		if p != nil {
			errs = append(errs, p.Stop(30*time.Second))
		}
	}
	return errors.Join(errs...)
}
