package api

import (
	"context"
	"sync"
	"time"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// The shortest and the longest pause between heartbeats. The contract promises one every
// five seconds.
const (
	heartbeatEvery = 2 * time.Second
	heartbeatPause = 250 * time.Millisecond
)

// IngestPartition implements the contract. The call ends only when the partition has ended,
// even if the caller has disconnected: then no write is in progress.
func (s *Server) IngestPartition(r *ingestv1.IngestPartitionRequest, stream ingestv1.IngestService_IngestPartitionServer) error {
	pool, err := transport.PoolFromProto("pool", r.GetPool())
	if err != nil {
		return err
	}
	part, err := partFromProto("partition", pool, r.GetPartition())
	if err != nil {
		return err
	}
	if r.GetRunId() == "" || len(r.GetRunId()) > maxName {
		return fault.Invalid("run_id", "must have 1 to %d characters", maxName)
	}
	if r.GetEpoch() <= 0 {
		return fault.Invalid("epoch", "must be a time in Unix milliseconds, greater than 0")
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	steps := newLatest()
	work := s.cfg.Gate.Begin()
	defer work.End()
	work.Pause(true) // until it has its turn
	type outcome struct {
		result   ingest.Result
		err      error
		panicked any
	}
	ended := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			// Returned to the handler, whose interceptor converts it to INTERNAL.
			o.panicked = recover()
			ended <- o
		}()
		o.result, o.err = s.cfg.Ingester.Partition(ctx, ingest.Work{Partition: part, RunID: r.GetRunId(), Epoch: r.GetEpoch()}, func(step ingest.Step) {
			work.Pause(step.WaitAPI != "")
			steps.set(step)
		})
	}()
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	var sent time.Time
	var stage ingest.Stage
	beat := func() {
		step, begun := steps.get()
		message := heartbeat(step)
		if !begun {
			message.GetHeartbeat().Stage = ingestv1.IngestPartitionResponse_STAGE_QUEUED
		}
		if stream.Send(message) != nil {
			return // the context of a caller that has disconnected ends anyway
		}
		sent, stage = time.Now(), step.Stage
	}
	for {
		select {
		case o := <-ended:
			if o.panicked != nil {
				panic(o.panicked)
			}
			if o.err != nil {
				return o.err
			}
			return stream.Send(&ingestv1.IngestPartitionResponse{Event: &ingestv1.IngestPartitionResponse_Result{Result: resultToProto(o.result)}})
		case <-steps.changed:
			if step, _ := steps.get(); step.Stage != stage || time.Since(sent) >= heartbeatPause {
				beat()
			}
		case <-tick.C:
			beat()
		}
	}
}

func heartbeat(s ingest.Step) *ingestv1.IngestPartitionResponse {
	return &ingestv1.IngestPartitionResponse{Event: &ingestv1.IngestPartitionResponse_Heartbeat_{Heartbeat: &ingestv1.IngestPartitionResponse_Heartbeat{
		Stage: ingestv1.IngestPartitionResponse_Stage(s.Stage), RowCount: int64(s.Rows), CallCount: int32(s.Calls),
		WaitingApi: s.WaitAPI, WaitUntilTime: transport.TimeToProto(s.WaitUntil),
	}}}
}

// latest passes the newest step from the worker's goroutine to the stream's.
type latest struct {
	mu      sync.Mutex
	step    ingest.Step
	known   bool
	changed chan struct{}
}

func newLatest() *latest { return &latest{changed: make(chan struct{}, 1)} }

func (l *latest) set(s ingest.Step) {
	l.mu.Lock()
	l.step, l.known = s, true
	l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

func (l *latest) get() (ingest.Step, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.step, l.known
}
