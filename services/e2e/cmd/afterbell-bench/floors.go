package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
)

// floor is the output of ingest-bench.
type floor struct {
	Rows          int64   `json:"rows"`
	Seconds       float64 `json:"seconds"`
	RowsPerSecond float64 `json:"rows_per_second"`
	CPUSeconds    float64 `json:"cpu_seconds"`
	PeakRSS       int64   `json:"peak_rss_bytes"`
	FileBytes     int64   `json:"file_bytes"`
	Calls         int     `json:"calls"`
	FirstSeconds  float64 `json:"first_seconds"`
	LastSeconds   float64 `json:"last_seconds"`
}

// floorsScenario runs each floor in a separate process.
func floorsScenario(ctx context.Context, b *bench, r *round) error {
	for _, name := range []string{"fetch", "writer", "pipe", "ingester"} {
		f, err := b.floor(ctx, name)
		if err != nil {
			return err
		}
		r.note(name, f)
	}
	return nil
}

func (r *round) note(name string, f floor) {
	for key, v := range map[string]float64{
		"rows": float64(f.Rows), "seconds": f.Seconds, "rate": f.RowsPerSecond, "cpu": f.CPUSeconds, "rss": float64(f.PeakRSS),
		"file": float64(f.FileBytes), "calls": float64(f.Calls), "first": f.FirstSeconds, "last": f.LastSeconds,
	} {
		if v != 0 {
			r.values[name+"."+key] = v
		}
	}
	if f.FileBytes > 0 && f.Rows > 0 {
		r.values[name+".row_bytes"] = float64(f.FileBytes) / float64(f.Rows)
	}
}

func (b *bench) floor(ctx context.Context, name string) (f floor, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.opts.bin, "ingest-bench"), name,
		"--tushare-url", b.simURL, "--dates", strconv.Itoa(len(b.days)), "--end-date", b.days[0], "--dir", b.dir)
	var answer bytes.Buffer
	cmd.Stdout = &answer
	progress, err := cmd.StderrPipe()
	if err != nil {
		return f, err
	}
	if err := cmd.Start(); err != nil {
		return f, err
	}
	last := ""
	for lines := bufio.NewScanner(progress); lines.Scan(); {
		last = lines.Text()
		fmt.Fprintln(b.out, "  "+last)
	}
	if err := cmd.Wait(); err != nil {
		return f, fmt.Errorf("ingest-bench %s: %w: %s", name, err, last)
	}
	return f, json.Unmarshal(answer.Bytes(), &f)
}
