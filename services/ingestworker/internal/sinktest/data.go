package sinktest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Day0 is the first trade date of generated rows.
var Day0 = market.NewDate(2026, 3, 2)

var committed = time.Date(2026, 3, 2, 11, 30, 0, 123e6, time.UTC)

// Stocks returns n symbols of stocks of the three exchanges.
func Stocks(n int) []string {
	out := make([]string, n)
	for i := range out {
		switch i % 8 {
		case 0:
			out[i] = fmt.Sprintf("920%03d.BJ", i/8)
		case 1, 2, 3:
			out[i] = fmt.Sprintf("60%04d.SH", i)
		default:
			out[i] = fmt.Sprintf("00%04d.SZ", i)
		}
	}
	return out
}

// ETFs returns n symbols of ETFs of both exchanges; n is at most 2,000.
func ETFs(n int) []string {
	out := make([]string, n)
	for i := range out {
		if i%2 == 0 {
			out[i] = fmt.Sprintf("51%04d.SH", i)
		} else {
			out[i] = fmt.Sprintf("159%03d.SZ", i/2)
		}
	}
	return out
}

// Rows returns rows of a dataset of a trade date. All columns have values with two or four
// decimals, and some are null. Equal seeds give equal rows.
func Rows(dataset string, date market.Date, symbols []string, seed uint64) *table.Batch {
	d := catalog.Lookup(dataset)
	b := table.New(d.Specs(), len(symbols))
	b.Len = len(symbols)
	rng := rand.New(rand.NewPCG(seed, uint64(date)))
	for i := range b.Columns {
		c := &b.Columns[i]
		for _, s := range symbols {
			switch {
			case c.Type == table.Text:
				c.AppendText(s)
			case c.Type == table.Date:
				c.AppendDate(date)
			case !d.Columns[i].Required && rng.IntN(20) == 0:
				c.AppendNull()
			case i%2 == 0:
				c.AppendNumber(math.Round(rng.ExpFloat64()*2000) / 100)
			default:
				c.AppendNumber(math.Round(rng.ExpFloat64()*1e7) / 1e4)
			}
		}
	}
	return b
}

// Partition returns the partition of a dataset and trade date; in targets, of these symbols.
func Partition(p market.Pool, dataset string, date market.Date, symbols []string) coverage.Partition {
	part := coverage.Partition{ID: dataset + "/" + date.String(), Pool: p, Dataset: dataset, Start: date, End: date, Calls: 1}
	if p == market.Targets {
		part.ID += "/" + fmt.Sprint(len(symbols))
		part.Symbols = symbols
	}
	return part
}

// Commit returns the commit of a batch with its coverage: one record in universe, one per
// symbol in targets. A symbol without a row has the verdict EXPECTED_EMPTY. A nil
// batch commits records only.
func Commit(p market.Pool, dataset string, date market.Date, symbols []string, b *table.Batch, epoch int64) ingest.Commit {
	c := ingest.Commit{Partition: Partition(p, dataset, date, symbols), Epoch: epoch, RunID: fmt.Sprintf("run-%d", epoch), Batch: b}
	verdict := coverage.Complete
	if b == nil || b.Len == 0 {
		verdict = coverage.Empty
	}
	record := coverage.Record{
		Key: coverage.Key{Dataset: dataset, Date: date}, Expected: int64(len(symbols)), Verdict: verdict, CommittedAt: committed,
		SameSince: market.NoDate, LastSame: market.NoDate,
	}
	if p == market.Universe {
		c.Records = []coverage.Record{record}
		return c
	}
	for _, s := range symbols {
		r := record
		r.Symbol, r.Expected = s, 1
		if b == nil || !slices.Contains(b.Column("ts_code").Texts, s) {
			r.Verdict = coverage.ExpectedEmpty
		}
		c.Records = append(c.Records, r)
	}
	return c
}

// Snapshot returns the commit of a whole reference dataset with an epoch.
func Snapshot(p market.Pool, dataset string, b *table.Batch, epoch int64) ingest.Commit {
	return ingest.Commit{
		Partition: coverage.Partition{ID: dataset, Pool: p, Dataset: dataset, Start: market.NoDate, End: market.NoDate, Calls: 1},
		Epoch:     epoch, RunID: fmt.Sprintf("run-%d", epoch), Batch: b,
		Records: []coverage.Record{{
			Key: coverage.Key{Dataset: dataset, Date: market.NoDate}, Verdict: coverage.Complete, CommittedAt: committed,
			SameSince: market.NoDate, LastSame: market.NoDate,
		}},
	}
}

// List returns a batch of a list of instruments with symbol, name and status. The other columns
// are null.
func List(dataset string, symbols []string) *table.Batch {
	b := table.New(catalog.Lookup(dataset).Specs(), len(symbols))
	b.Len = len(symbols)
	for i := range b.Columns {
		c := &b.Columns[i]
		for n, s := range symbols {
			switch c.Name {
			case "ts_code":
				c.AppendText(s)
			case "name":
				c.AppendText(fmt.Sprintf("一个比十二字节长的名字 %d", n))
			case "list_status", "status":
				c.AppendText("L")
			case "list_date":
				c.AppendDate(market.NewDate(2001, 8, 27))
			default:
				c.AppendNull()
			}
		}
	}
	return b
}

// CalendarDays returns a batch of trade_cal from Day0 on, with weekends closed.
func CalendarDays(n int) *table.Batch {
	b := table.New(catalog.Lookup(catalog.TradeCal).Specs(), n)
	b.Len = n
	for i := range n {
		day := Day0 + market.Date(i)
		b.Column("exchange").AppendText("SSE")
		b.Column("cal_date").AppendDate(day)
		open := 1.0
		if day.Weekend() {
			open = 0
		}
		b.Column("is_open").AppendNumber(open)
		b.Column("pretrade_date").AppendDate(day - 1)
	}
	return b
}
