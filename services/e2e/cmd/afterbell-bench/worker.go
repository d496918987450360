package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// width is the default number of concurrent partitions.
const width = 32

// universeModules are the modules of the pool that are enabled by default.
var universeModules = []string{"stock.reference", "stock.basic", "stock.market.daily", "stock.moneyflow", "etf.basic_info", "etf.daily_quote"}

// workerScenario calls the worker's gRPC API without an orchestrator.
func workerScenario(ctx context.Context, b *bench, r *round) (err error) {
	data, err := b.dataDir("worker")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)
	c, err := b.config(data, 0)
	if err != nil {
		return err
	}
	s := &stack.Stack{Config: c}
	if err := s.StartWorker(ctx); err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, s.Worker.Stop(grace))
		}
	}()
	conn, err := grpc.NewClient(s.Worker.Addr("grpc"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	d := &driver{client: ingestv1.NewIngestServiceClient(conn), epoch: time.Now().UnixMilli()}
	lists, err := d.plan(ctx, ingestv1.PlanStage_PLAN_STAGE_REFERENCES, "", "")
	if err != nil {
		return err
	}
	for _, p := range lists {
		if _, err := d.ingest(ctx, p, d.next()); err != nil {
			return err
		}
	}
	parts, err := d.plan(ctx, ingestv1.PlanStage_PLAN_STAGE_DATA, b.days[len(b.days)-1], b.days[0])
	if err != nil {
		return err
	}
	began := time.Now()
	pace := newPace(began)
	pace.planned(began, len(parts))
	if err := d.all(ctx, parts, cmp.Or(b.opts.width, width), pace, b.out); err != nil {
		return err
	}
	f := pace.end(time.Since(began))
	stopped = true
	cpu, peak := cpuSeconds(s.Worker), peakMemory(s.Worker)
	stopping := time.Now()
	if err := s.Worker.Stop(grace); err != nil {
		return err
	}
	bytes, err := size(analysis(data))
	if err != nil {
		return err
	}
	// Stopping checkpoints the file, as the floors do before their clock stops.
	took := f.took + time.Since(stopping)
	r.note("worker", floor{
		Rows: f.rows, Seconds: took.Seconds(), RowsPerSecond: float64(f.rows) / took.Seconds(), CPUSeconds: cpu, PeakRSS: peak,
		FileBytes: bytes, FirstSeconds: f.first.Seconds(), LastSeconds: f.last.Seconds(),
	})
	return nil
}

// driver calls the worker.
type driver struct {
	client ingestv1.IngestServiceClient
	epoch  int64
}

func (d *driver) next() int64 { d.epoch++; return d.epoch }

func (d *driver) plan(ctx context.Context, stage ingestv1.PlanStage, start, end string) ([]*ingestv1.PartitionSpec, error) {
	plan, err := d.client.PlanPartitions(ctx, &ingestv1.PlanPartitionsRequest{
		Pool: marketv1.Pool_POOL_UNIVERSE, Stage: stage, ModuleIds: universeModules, StartDate: start, EndDate: end,
	}, grpc.MaxCallRecvMsgSize(64<<20))
	return plan.GetPartitions(), err
}

// ingest ingests one partition and returns its result.
func (d *driver) ingest(ctx context.Context, p *ingestv1.PartitionSpec, epoch int64) (*ingestv1.PartitionResult, error) {
	stream, err := d.client.IngestPartition(ctx, &ingestv1.IngestPartitionRequest{
		RunId: "bench", Pool: marketv1.Pool_POOL_UNIVERSE, Partition: p, Epoch: epoch,
	})
	if err != nil {
		return nil, err
	}
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s ended without a result", p.GetPartitionId())
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.GetPartitionId(), err)
		}
		if result := message.GetResult(); result != nil {
			if v := result.GetCoverage().GetVerdict(); v != marketv1.Verdict_VERDICT_COMPLETE {
				return nil, fmt.Errorf("%s came %s", p.GetPartitionId(), v)
			}
			return result, nil
		}
	}
}

// all ingests partitions in order, so many at a time.
func (d *driver) all(ctx context.Context, parts []*ingestv1.PartitionSpec, width int, pace *pace, out io.Writer) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(width)
	for _, p := range parts {
		if ctx.Err() != nil {
			break
		}
		epoch := d.next()
		group.Go(func() error {
			result, err := d.ingest(ctx, p, epoch)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			pace.done(time.Now(), p.GetStartDate(), result.GetCoverage().GetRowCount())
			pace.tell(out)
			return nil
		})
	}
	return group.Wait()
}
