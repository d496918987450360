package sinktest

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/internal/market"
)

const childFile = "SINKTEST_CHILD"

// Main is the TestMain of a pool's tests. It runs the tests, or in a child process commits until
// RunKill kills it.
func Main(m *testing.M, h Harness) int {
	if path := os.Getenv(childFile); path != "" {
		commitForever(h, path)
		return 1
	}
	return m.Run()
}

var killed = []string{catalog.Daily, catalog.FundDaily, catalog.DailyBasic}

func killSymbols(dataset string) []string {
	if dataset == catalog.FundDaily {
		return ETFs(60)
	}
	return Stocks(200)
}

// commitForever commits the same few partitions again and again, each time with another number
// of rows, whose close is the epoch. It prints each successful commit.
func commitForever(h Harness, path string) {
	s := h.make(Options{Path: path})
	if err := s.Open(context.Background()); err != nil {
		fmt.Println("open", err)
		return
	}
	var out sync.Mutex
	for worker := range 4 {
		go func() {
			for {
				epoch := time.Now().UnixMicro()
				dataset, date := killed[rand.IntN(len(killed))], Day0+market.Date(4*worker+rand.IntN(4))
				symbols := killSymbols(dataset)
				b := Rows(dataset, date, symbols[:1+rand.IntN(len(symbols))], 1)
				closing := b.Column("close")
				for i := range closing.Numbers {
					closing.Numbers[i] = float64(epoch)
				}
				if _, err := s.Commit(context.Background(), Commit(h.Pool, dataset, date, symbols, b, epoch)); err != nil {
					fmt.Println("commit", err)
					os.Exit(1)
				}
				out.Lock()
				fmt.Println("done", dataset, date, epoch, b.Len)
				out.Unlock()
			}
		}()
	}
	select {}
}

// RunKill kills a committing process with SIGKILL at random moments. Afterwards the file must
// open, have every acknowledged commit and no partial one, and its coverage must match the rows.
func RunKill(t *testing.T, h Harness) {
	path := h.path(t)
	acknowledged := make(map[string]int64)
	for round := range 5 {
		killOnce(t, path, acknowledged)
		s := h.open(t, path)
		epochs := make(map[string]int64)
		counts := make(map[string]int64)
		for k, r := range records(t, s) {
			held, err := Contents(t.Context(), s, k)
			if want := (ingest.Contents{Rows: r.Rows, Hash: r.RowsHash}); err != nil || held != want {
				t.Fatalf("round %d: %v: the file has %+v, %v; its record says %+v", round, k, held, err, want)
			}
			id := k.Dataset + " " + k.Date.String()
			if was, seen := epochs[id]; seen && was != r.Epoch {
				t.Fatalf("round %d: %s has rows of two commits", round, id)
			}
			epochs[id] = r.Epoch
			counts[id] += held.Rows
		}
		for id, epoch := range acknowledged {
			if epochs[id] < epoch {
				t.Errorf("round %d: %s was committed with epoch %d and has epoch %d", round, id, epoch, epochs[id])
			}
		}
		closeSink(t, s)
		for _, name := range []string{catalog.TablePrices, catalog.TableBasics} {
			for _, row := range h.Dump(t, path, name) {
				dataset := catalog.DailyBasic
				if name == catalog.TablePrices {
					dataset = catalog.Daily
					if market.IsETF(row["symbol"]) {
						dataset = catalog.FundDaily
					}
				}
				id := dataset + " " + row["trade_date"]
				if row["close"] != Number(float64(epochs[id])) {
					t.Fatalf("round %d: a row of %s is of commit %s, coverage of %d", round, id, row["close"], epochs[id])
				}
				counts[id]--
			}
		}
		for id, left := range counts {
			if left != 0 {
				t.Errorf("round %d: %s: rows and coverage differ by %d", round, id, left)
			}
		}
	}
	if len(acknowledged) == 0 {
		t.Fatal("no process lived to commit anything")
	}
}

func killOnce(t *testing.T, path string, acknowledged map[string]int64) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childFile+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	life := time.Duration(20+rand.IntN(400)) * time.Millisecond
	var kill *time.Timer
	for lines.Scan() {
		var dataset, date string
		var epoch, rows int64
		if _, err := fmt.Sscanf(lines.Text(), "done %s %s %d %d", &dataset, &date, &epoch, &rows); err != nil {
			t.Errorf("the process said %q", lines.Text())
			_ = child.Process.Kill()
			break
		}
		if id := dataset + " " + date; epoch > acknowledged[id] {
			acknowledged[id] = epoch
		}
		if kill == nil {
			kill = time.AfterFunc(life, func() { _ = child.Process.Kill() })
		}
	}
	if kill != nil {
		defer kill.Stop()
	}
	_ = child.Wait() // it was killed
}
