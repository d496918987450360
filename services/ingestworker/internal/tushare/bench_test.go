package tushare

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"unsafe"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

func unsafeData(s string) *byte { return unsafe.StringData(s) }

// body is a reply of n rows in which every number column has the digits that the
// provider writes.
func body(api string, n, date int) string {
	ds := catalog.Lookup(api)
	var b bytes.Buffer
	b.WriteString(`{"request_id":"x","code":0,"data":{"fields":[`)
	for i, c := range ds.Columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Quote(c.Provider))
	}
	b.WriteString(`],"items":[`)
	for r := range n {
		if r > 0 {
			b.WriteByte(',')
		}
		for i, c := range ds.Columns {
			sep := byte(',')
			if i == 0 {
				sep = '['
			}
			b.WriteByte(sep)
			switch {
			case c.Provider == "ts_code":
				fmt.Fprintf(&b, `"%06d.SZ"`, r)
			case c.Type == table.Date:
				fmt.Fprintf(&b, `"%d"`, date)
			case c.Type == table.Text:
				b.WriteString(`"平安银行"`)
			case (r+i)%9 == 0:
				b.WriteString("null")
			default:
				fmt.Fprintf(&b, "%d.%0*d", (r*7919+i*104729)%1000000, 2+i%3, (r*31+i)%100)
			}
		}
		b.WriteByte(']')
	}
	b.WriteString(`],"has_more":false,"count":-1},"msg":"","detail":""}`)
	return b.String()
}

func dailyBody(n, date int) string { return body(catalog.Daily, n, date) }

func benchmarkDecode(b *testing.B, api string, rows int, unite bool) {
	text := []byte(body(api, rows, 20260302))
	ds := catalog.Lookup(api)
	var d decoder
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		d.begin(ds, table.New(ds.Specs(), rows))
		rep, err := d.page(bytes.NewReader(text), 1<<30)
		if err != nil || rep.rows != rows {
			b.Fatal(rep, err)
		}
		if unite {
			d.dedupe(0, 0)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkDecodeDaily(b *testing.B)      { benchmarkDecode(b, catalog.Daily, 5400, false) }
func BenchmarkDecodeDailyBasic(b *testing.B) { benchmarkDecode(b, catalog.DailyBasic, 5400, false) }
func BenchmarkDecodeMoneyflow(b *testing.B)  { benchmarkDecode(b, catalog.Moneyflow, 5180, false) }

// A whole fetch over loopback, four side by side.
func BenchmarkFetchDaily(b *testing.B) {
	text := []byte(dailyBody(5400, 20260302))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(text)
	}))
	defer srv.Close()
	c := newClient(b, Config{URL: srv.URL})
	q := ingest.Query{Dataset: catalog.Lookup(catalog.Daily), Params: map[string]string{"trade_date": "20260302"}}
	b.SetParallelism(2)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a, err := c.Fetch(b.Context(), q, nil); err != nil || a.Batch.Len != 5400 {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(5400*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// With the search for repeated rows, as a fetch does it.
func BenchmarkPageDaily(b *testing.B)      { benchmarkDecode(b, catalog.Daily, 5400, true) }
func BenchmarkPageDailyBasic(b *testing.B) { benchmarkDecode(b, catalog.DailyBasic, 5400, true) }
