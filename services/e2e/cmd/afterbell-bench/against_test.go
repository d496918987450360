package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAgainstTakesACheckoutOrItsFolderOfPrograms(t *testing.T) {
	checkout := t.TempDir()
	bin := filepath.Join(checkout, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := parse([]string{"--against", checkout}, io.Discard); err == nil || !strings.Contains(err.Error(), "ingest-worker") {
		t.Errorf("a folder without programs: %v", err)
	}
	for _, name := range []string{"ingest-worker", "orchestrator"} {
		if err := os.WriteFile(filepath.Join(bin, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{checkout, bin} {
		o, err := parse([]string{"--against", dir}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if o.against != bin {
			t.Errorf("--against %s takes %s", dir, o.against)
		}
		if got := strings.Join(o.only, ","); got != "pair,verify,evening,latency" {
			t.Errorf("by default it compares %s", got)
		}
	}
}

func TestComparisonIsOfRoundsAndNotOfMedians(t *testing.T) {
	of := func(values ...float64) (rounds []*round) {
		for _, v := range values {
			r := newRound()
			r.values["pair.rate"] = v
			rounds = append(rounds, r)
		}
		return rounds
	}
	// The machine gets slower in each round, but the ratio of the builds is the same.
	b := &bench{opts: options{rounds: 3}, rounds: of(200, 100, 20), others: of(100, 50, 10)}
	b.others[0].values["pair.rate"] = 160 // except in one round
	mine, other, ratio, ok := b.compared(measures[0])
	if !ok || mine != 100 || other != 50 || ratio != 2 {
		t.Errorf("compared = %v, %v, %v, %v; want 100, 50, 2, true", mine, other, ratio, ok)
	}
	var out strings.Builder
	printComparison(&out, b)
	if text := out.String(); !strings.Contains(text, "pass  pair, rows/s") || !strings.Contains(text, "2.000") {
		t.Errorf("report:\n%s", text)
	}
	b.rounds[1].failed["verify"] = io.ErrUnexpectedEOF
	out.Reset()
	printComparison(&out, b)
	if text := out.String(); !strings.Contains(text, "FAIL  VerifyRun, s") {
		t.Errorf("a scenario that failed is not reported:\n%s", text)
	}
}
