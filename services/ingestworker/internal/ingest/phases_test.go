package ingest_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/providertest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota/limiter"
	"github.com/afterbell/afterbell/services/ingestworker/internal/tushare"
	"github.com/afterbell/afterbell/services/internal/market"
)

// slowly answers after a time.
type slowly struct {
	http.RoundTripper
	took time.Duration
}

func (s slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(s.took)
	return s.RoundTripper.RoundTrip(r)
}

// slowSink commits after a time.
type slowSink struct {
	ingest.Sink
	took time.Duration
}

func (s slowSink) Commit(ctx context.Context, c ingest.Commit) (ingest.Changes, error) {
	time.Sleep(s.took)
	return s.Sink.Commit(ctx, c)
}

// Every moment of a dispatch is counted once: the turn and the limit that it waits for,
// its calls, and its commit.
func TestPhasesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		day := market.NewDate(2026, 3, 2) // a Monday
		time.Sleep(time.Until(day.At(19, 30, market.Shanghai)))
		const call, write = 3 * time.Second, 2 * time.Second
		client, limits := newClient(t, limiter.Config{Settings: quota.DefaultSettings(1)}, tushare.Config{Transport: slowly{direct{providertest.New(200, 40, day)}, call}})
		r := &harness{t: t, dir: t.TempDir(), client: client}
		r.open()
		defer r.close()
		r.ing = ingest.New(ingest.Config{
			Provider: client, WindowDays: map[market.Pool]int{market.Universe: 10}, Depth: 1,
			Sinks: map[market.Pool]ingest.Sink{market.Universe: slowSink{r.sinks[market.Universe], write}},
		})
		began := time.Now()
		ended := make(chan time.Duration, 2)
		var got [2]ingest.Phases
		for n, d := range []market.Date{day, day - 3} {
			go func() {
				o := r.one(t.Context(), coverage.Partition{ID: coverage.PartitionID(catalog.Daily, d, d, nil), Pool: market.Universe, Dataset: catalog.Daily, Start: d, End: d})
				if o.err != nil {
					t.Error(o.err)
				}
				got[n] = o.result.Phases
				ended <- time.Since(began)
			}()
		}
		first, second := <-ended, <-ended
		if got[0].Wait > got[1].Wait {
			got[0], got[1] = got[1], got[0]
		}
		if got[0].Wait != 0 || got[1].Wait <= call+write {
			t.Errorf("waited %s and %s; the first need not, the second waits for the first and for the limit", got[0].Wait, got[1].Wait)
		}
		for n, whole := range []time.Duration{first, second} {
			p := got[n]
			if p.Fetch != call || p.Check < 0 || p.Commit != write || p.Wait+p.Fetch+p.Check+p.Commit != whole {
				t.Errorf("%+v do not add up to %s", p, whole)
			}
		}
		limits.Close()
		client.Close()
	})
}
