package tusharesim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/afterbell/afterbell/services/tusharesim"
)

// BenchmarkHTTP fetches whole days over loopback without decoding them.
func BenchmarkHTTP(b *testing.B) {
	s := tusharesim.StartTest(b, tusharesim.Options{Now: at(evening)})
	days := s.OpenDates("20230601", "20260514")
	for _, api := range []string{"daily", "daily_basic", "moneyflow", "fund_daily"} {
		b.Run(api, func(b *testing.B) {
			c := client(b)
			n0 := s.Stats().Rows
			var bytes_ int64
			for i := 0; b.Loop(); i++ {
				body, _ := json.Marshal(request(api, params{"trade_date": days[i%len(days)]}, ""))
				res, err := c.Post(s.URL, "application/json", bytes.NewReader(body))
				if err != nil || res.StatusCode != http.StatusOK {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if err != nil {
					b.Fatal(err)
				}
				bytes_ += n
			}
			rows := float64(s.Stats().Rows - n0)
			b.ReportMetric(rows/b.Elapsed().Seconds()/1e6, "Mrows/s")
			b.ReportMetric(float64(bytes_)/b.Elapsed().Seconds()/1e6, "MB/s")
		})
	}
}

// BenchmarkHandler is the same without a network.
func BenchmarkHandler(b *testing.B) {
	s, err := tusharesim.New(tusharesim.Options{Now: at(evening)})
	if err != nil {
		b.Fatal(err)
	}
	h := s.Handler()
	days := s.OpenDates("20230601", "20260514")
	for _, api := range []string{"daily", "daily_basic", "moneyflow", "fund_daily"} {
		b.Run(api, func(b *testing.B) {
			n0 := s.Stats().Rows
			w := &discard{head: http.Header{}}
			for i := 0; b.Loop(); i++ {
				body, _ := json.Marshal(request(api, params{"trade_date": days[i%len(days)]}, ""))
				r, err := http.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				h.ServeHTTP(w, r)
			}
			b.ReportMetric(float64(s.Stats().Rows-n0)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// BenchmarkTruth is Rows, for those who compare a store with it.
func BenchmarkTruth(b *testing.B) {
	s, err := tusharesim.New(tusharesim.Options{Now: at(evening)})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		t, err := s.Rows("daily", map[string]string{"trade_date": "20260514"})
		if err != nil {
			b.Fatal(err)
		}
		n += len(t.Rows)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

type discard struct{ head http.Header }

func (d *discard) Header() http.Header         { return d.head }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
