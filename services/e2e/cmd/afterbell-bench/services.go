package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// token is a token that the simulator accepts.
const token = "simulated"

// window returns the value of the worker's flag that reaches back from today to a day.
func window(day string) (string, error) {
	d, err := time.ParseInLocation(time.DateOnly, day, shanghai)
	if err != nil {
		return "", err
	}
	now := time.Now().In(shanghai)
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, shanghai)
	return fmt.Sprintf("%dd", int(today.Sub(d).Hours()/24+0.5)), nil
}

func (b *bench) config(data string, rate int) (stack.Config, error) {
	w, err := window(b.days[len(b.days)-1])
	return stack.Config{
		Bin: b.bin, Data: data, ProviderURL: b.simURL,
		WorkerFlags: append([]string{"--rate-limit", fmt.Sprint(rate), "--universe-window", w, "--targets-window", w}, b.opts.workerFlags...),
		Env:         []string{"AFTERBELL_TUSHARE_TOKEN=" + token},
	}, err
}

// pair starts orchestrator and worker with an empty data directory and without runs: the schedule
// is disabled while the worker has no token, so that the run of the first start is blocked and
// stores no row.
func (b *bench) pair(ctx context.Context, data string, rate int) (*stack.Stack, error) {
	c, err := b.config(data, rate)
	if err != nil {
		return nil, err
	}
	tokenless := c
	tokenless.Env = []string{"AFTERBELL_TUSHARE_TOKEN="}
	quiet, err := stack.New(ctx, tokenless)
	if err != nil {
		return nil, err
	}
	err = silence(ctx, quiet, b.opts.width)
	if closing := quiet.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("switching the schedule off: %w", err)
	}
	return stack.New(ctx, c)
}

// silence disables the schedule and waits for the runs of the start. It also sets a width that
// is not 0.
func silence(ctx context.Context, s *stack.Stack, width int) error {
	no := false
	if n := int32(width); n > 0 {
		settings := orchestratorv1.NewSettingsServiceClient(s.Conn)
		if _, err := settings.UpdateSettings(ctx, &orchestratorv1.UpdateSettingsRequest{DispatchWidth: &n}); err != nil {
			return err
		}
	}
	schedule := orchestratorv1.NewScheduleServiceClient(s.Conn)
	if _, err := schedule.UpdateSchedule(ctx, &orchestratorv1.UpdateScheduleRequest{Enabled: &no, RunOnStartup: &no}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		list, err := s.Runs().ListRuns(ctx, &orchestratorv1.ListRunsRequest{})
		if err != nil {
			return err
		}
		open := slices.DeleteFunc(list.GetRuns(), func(r *orchestratorv1.Run) bool { return r.GetState() == orchestratorv1.Run_STATE_FINISHED })
		if len(open) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("run %s is still %s: %w", open[0].GetRunId(), open[0].GetState(), ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// filled has the figures of one run.
type filled struct {
	run *orchestratorv1.Run
	// took is the time from CreateRun to the run's last event, as the caller sees it.
	took time.Duration
	// stored is the time from CreateRun to the last partition's commit. After it the copy for
	// readers is created.
	stored time.Duration
	// worker and orchestrator are CPU seconds from the last partition's commit to the
	// end; peak is the worker's memory before it, in bytes.
	worker, orchestrator float64
	peak                 int64
	// rows committed of datasets by trade date.
	rows int64
	// first and last are the durations of the first and the last span dates.
	span        int
	first, last time.Duration
}

// fill creates one run and follows it to its end.
func (b *bench) fill(ctx context.Context, s *stack.Stack, req *orchestratorv1.CreateRunRequest) (filled, error) {
	began := time.Now()
	created, err := s.Runs().CreateRun(ctx, req)
	if err != nil {
		return filled{}, err
	}
	if len(created.GetRuns()) != 1 {
		return filled{}, fmt.Errorf("%d runs were created, not one", len(created.GetRuns()))
	}
	stream, err := s.Runs().WatchRun(ctx, &orchestratorv1.WatchRunRequest{RunId: created.GetRuns()[0].GetRunId()})
	if err != nil {
		return filled{}, err
	}
	p := newPace(began)
	var stored time.Duration
	var worker, orchestrator float64
	var peak int64
	for {
		message, err := stream.Recv()
		if err != nil {
			return filled{}, fmt.Errorf("following the run: %w", err)
		}
		e := message.GetEvent()
		switch {
		case e.GetPlanned().GetLastTradeDate() != "":
			p.planned(e.GetEventTime().AsTime(), int(e.GetPlanned().GetPartitionCount()))
		case e.GetPartitionChanged() != nil:
			if q := e.GetPartitionChanged().GetPartition(); q.GetState() == orchestratorv1.Partition_STATE_COMPLETED {
				p.done(e.GetEventTime().AsTime(), q.GetStartDate(), q.GetRowCount())
			}
			p.tell(b.out)
			if p.all() {
				stored, worker, orchestrator, peak = time.Since(began), cpuSeconds(s.Worker), cpuSeconds(s.Orchestrator), peakMemory(s.Worker)
			}
		case e.GetFinished() != nil:
			f := p.end(time.Since(began))
			f.run = e.GetFinished()
			if f.stored, f.peak = f.took, peakMemory(s.Worker); p.all() {
				f.stored, f.peak = stored, peak
				f.worker, f.orchestrator = cpuSeconds(s.Worker)-worker, cpuSeconds(s.Orchestrator)-orchestrator
			}
			return f, sound(f.run)
		}
	}
}

// sound returns an error if a run did not succeed, because its figures would be meaningless.
func sound(r *orchestratorv1.Run) error {
	switch r.GetOutcome() {
	case orchestratorv1.Run_OUTCOME_SUCCEEDED, orchestratorv1.Run_OUTCOME_UNCHANGED:
		return nil
	}
	text := ""
	for _, i := range r.GetIssues() {
		if text += "; " + i.GetReason().String() + ": " + i.GetMessage(); len(text) > 400 {
			break
		}
	}
	return fmt.Errorf("the run ended %s (%d of %d partitions)%s", r.GetOutcome(), r.GetCompletedPartitionCount(), r.GetPartitionCount(), text)
}

func (b *bench) universe(start, end string) *orchestratorv1.CreateRunRequest {
	return &orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{marketv1.Pool_POOL_UNIVERSE}, StartDate: start, EndDate: end}
}

// size returns the size of a DuckDB file and its log in bytes.
func size(path string) (int64, error) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	n := st.Size()
	if wal, err := os.Stat(path + ".wal"); err == nil {
		n += wal.Size()
	}
	return n, nil
}

func analysis(data string) string { return filepath.Join(data, "analysis.duckdb") }

// cpuSeconds returns the user and system time of a process in seconds; 0 if the system does not
// have it.
func cpuSeconds(p *stack.Process) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
	if err != nil {
		return 0
	}
	// The name in parentheses may have spaces. The times are the 12th and 13th field after it, in
	// hundredths of a second.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// peakMemory returns the peak memory of a running process in bytes; 0 if /proc does not have it.
func peakMemory(p *stack.Process) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kb int64
	_, _ = fmt.Sscan(rest, &kb) // 0 if it is missing
	return kb * 1024
}

// forgetPeak resets the peak memory of a process to its current memory, if the system can do
// that.
func forgetPeak(p *stack.Process) error {
	err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.Pid()), []byte("5"), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// grace is how long a service may take to stop.
const grace = time.Minute
