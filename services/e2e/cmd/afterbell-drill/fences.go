package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// fences are the drills of what prevents two writers.
func fences() []drill {
	return []drill{
		{name: "two-orchestrators", fault: "a second orchestrator on the same data directory", expect: "it refuses with the holder's pid, the first goes on", do: func(r *harness) {
			r.start("")
			if r.err == nil {
				r.refusesToStart("DATA_DIR_LOCKED", strconv.Itoa(r.stack.Orchestrator.Pid()))
			}
			r.both()
			r.free()
		}},
		{name: "two-workers", fault: "a second worker on the same data directory", expect: "it refuses with the holder's pid, the first goes on", do: func(r *harness) {
			r.start("")
			if r.err != nil {
				return
			}
			second, err := stack.Start(r.ctx, r.options.bin, "ingest-worker", filepath.Join(r.dir, "logs", "second.log"),
				[]string{"--data-dir", r.workerDir(), "--grpc-addr", "127.0.0.1:0", "--tushare-url", r.provider.url()}, r.env(""), "grpc")
			switch {
			case err == nil:
				second.Kill()
				r.failf("a second worker starts")
			case !strings.Contains(err.Error(), strconv.Itoa(r.stack.Worker.Pid())) || !strings.Contains(err.Error(), "DATA_DIR_LOCKED"):
				r.failf("the refusal does not name the holder: %s", clip(err.Error(), 300))
			}
			r.both()
			r.free()
		}},
		{name: "two-dispatches", fault: "two dispatches of one partition, the older one late", expect: "the older is refused STALE_EPOCH and writes nothing", do: twoDispatches},
		{name: "worker-hangs", fault: "worker stopped (SIGSTOP) for 75 s mid-run, then it goes on", expect: "told apart from slow; nothing stale is written; completed", do: func(r *harness) {
			r.start("")
			r.slowly()
			r.create()
			r.untilCalls(25)
			r.signal(r.stack.Worker, syscall.SIGSTOP)
			r.sleep(75 * time.Second)
			r.free()
			r.signal(r.stack.Worker, syscall.SIGCONT)
		}},
		{name: "worker-hangs-briefly", fault: "worker stopped (SIGSTOP) for 10 s mid-run", expect: "the run goes on and succeeds", do: func(r *harness) {
			r.start("")
			r.slowly()
			ids := r.create()
			r.untilCalls(25)
			r.signal(r.stack.Worker, syscall.SIGSTOP)
			r.sleep(10 * time.Second)
			r.free()
			r.signal(r.stack.Worker, syscall.SIGCONT)
			for _, id := range ids {
				r.want(r.ended(id), succeeded)
			}
		}},
		{name: "connection-dropped", fault: "connection between the two cut three times mid-run", expect: "taken up again; the run succeeds or is followed up", do: func(r *harness) {
			r.quiet()
			r.startWorker("")
			if r.err != nil {
				return
			}
			var err error
			if r.relay, err = newRelay(r.stack.Config.WorkerAddr); err != nil {
				r.must(err)
				return
			}
			r.startOrchestrator("")
			r.setUp()
			r.slowly()
			ids := r.create()
			for _, after := range []int64{18, 30, 45} {
				r.untilCalls(after)
				r.relay.cut()
			}
			r.free()
			for _, id := range ids {
				r.ended(id)
			}
		}},
	}
}

// twoDispatches calls the worker directly: an older dispatch of a partition waits for the provider
// while a newer one commits, and then continues.
func twoDispatches(r *harness) {
	r.start("")
	r.both()
	if r.err != nil {
		return
	}
	conn, err := grpc.NewClient(r.stack.Config.WorkerAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if r.must(err); err != nil {
		return
	}
	defer conn.Close()
	worker := ingestv1.NewIngestServiceClient(conn)
	plan, err := worker.PlanPartitions(r.ctx, &ingestv1.PlanPartitionsRequest{
		Pool: inUniverse, Stage: ingestv1.PlanStage_PLAN_STAGE_DATA, ModuleIds: []string{"stock.market.daily"}, Refetch: true,
	})
	if r.must(err); err != nil || len(plan.GetPartitions()) == 0 {
		r.must(errors.New("nothing is planned by a refetch"))
		return
	}
	at := slices.IndexFunc(plan.GetPartitions(), func(p *ingestv1.PartitionSpec) bool { return p.GetDatasetId() == "daily" })
	part := plan.GetPartitions()[max(at, 0)]
	// Larger than the epochs that the orchestrator has used, and soon exceeded.
	older := r.clock.Now().UnixMilli() + 5000
	newer := older + 1

	// The provider's rows change before the newer dispatch, so that the older response would be
	// visible if it were written.
	r.provider.ResetStats()
	r.fault(tusharesim.Fault{Kind: tusharesim.Slow, DelayMS: 3000, Count: 1})
	late := make(chan error, 1)
	go func() { late <- r.dispatch(worker, part, older) }()
	r.untilCalls(1)
	if r.err != nil {
		return
	}
	date := strings.ReplaceAll(part.GetStartDate(), "-", "")
	_, err = r.provider.Revise(tusharesim.Revision{API: part.GetDatasetId(), TradeDate: date, Change: 3})
	r.must(err)
	r.must(r.dispatch(worker, part, newer))
	r.free()
	first := <-late
	after := r.dispatch(worker, part, older)
	for what, err := range map[string]error{"in flight": first, "after it": after} {
		if reason := reasonOf(err); reason != "STALE_EPOCH" && reason != "CANCELLED" {
			r.failf("the older dispatch %s ends with %q instead of STALE_EPOCH", what, fmt.Sprint(err))
		}
	}
	r.tell("older in flight: %s, older afterwards: %s", reasonOf(first), reasonOf(after))
	r.until("the clock passes the epochs used", 10*time.Second, func() bool { return r.clock.Now().UnixMilli() > newer })
}

// dispatch ingests a partition and returns its error.
func (r *harness) dispatch(worker ingestv1.IngestServiceClient, part *ingestv1.PartitionSpec, epoch int64) error {
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	stream, err := worker.IngestPartition(ctx, &ingestv1.IngestPartitionRequest{
		RunId: fmt.Sprintf("drill-%d", epoch), Pool: inUniverse, Partition: part, Epoch: epoch,
	})
	if err != nil {
		return err
	}
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// reasonOf returns the reason in an error's ErrorInfo; empty if there is none.
func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
