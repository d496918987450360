package cli_test

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/tusharesim"
)

const inUniverse = marketv1.Pool_POOL_UNIVERSE

// lastOpen returns the newest trade date before today, which is due at any time of the day.
func (p *pair) lastOpen() string {
	p.t.Helper()
	now := p.sim.Now()
	dates := p.sim.OpenDates(now.AddDate(0, 0, -30).Format("20060102"), now.AddDate(0, 0, -1).Format("20060102"))
	d, err := time.Parse("20060102", dates[len(dates)-1])
	if err != nil {
		p.t.Fatal(err)
	}
	return d.Format(time.DateOnly)
}

// closedPort returns an address without a listener.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The exit code of status in each state of a pair, during an evening that fails and recovers.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	p := up(t)
	date := p.lastOpen()
	status := "status --pool universe --date " + date
	compact := date[:4] + date[5:7] + date[8:]

	p.want(3, status, "not whole", "Next: afterbell run universe --watch")

	p.sim.RevokeToken("a-token-of-the-tests")
	p.fill(inUniverse)
	mend, again := "Next: afterbell tokens set < token.txt", "afterbell run universe --watch"
	p.want(2, status, "blocked", "TOKEN_INVALID", "Once you have done it, start a run: "+again, mend)
	p.want(0, "coverage universe", "The next run of universe is blocked.", mend)
	p.want(0, "domains", "stock.basic, stock.market.daily, ", mend)
	p.want(1, "condition daily_prices", "runs are blocked", mend)
	p.want(2, "run universe --watch", mend)
	shown := p.want(0, "show last", "the check of token and modules failed", "Once you have done it, start a run: "+again, mend)
	if text := shown.out + shown.err; strings.Count(text, "Copy the token again") != 1 {
		p.t.Errorf("the remedy is not printed once:\n%s", text)
	}
	checked := p.want(2, "preflight", "universe: TOKEN_INVALID", mend)
	if text := checked.out + checked.err; strings.Count(text, "All probes of the domain") > 1 {
		p.t.Errorf("the same text is printed twice:\n%s", text)
	}
	explained := p.want(0, "explain "+p.sim.Now().AddDate(0, 0, 1).Format(time.DateOnly)) // the same of both pools
	if text := explained.out + explained.err; strings.Count(text, "Next: ") != 1 {
		p.t.Errorf("the next command is not printed once:\n%s", text)
	}
	p.sim.RestoreTokens()
	p.want(0, "preflight universe")
	p.want(3, status, "Next: "+again)
	p.want(0, "show last", "The checks have passed since.", "Next: "+again)
	for _, command := range []string{"show last --lang zh"} {
		if said := p.want(0, command, "令牌"); strings.Contains(said.out, "It finished") || strings.Contains(said.out, "was requested at") {
			p.t.Errorf("afterbell %s speaks English:\n%s", command, said.out)
		}
	}

	if err := p.sim.Withhold(tusharesim.Moneyflow, compact); err != nil {
		t.Fatal(err)
	}
	p.fill(inUniverse)
	p.want(3, status, "moneyflow", "Next: afterbell")
	if err := p.sim.Release(tusharesim.Moneyflow, compact); err != nil {
		t.Fatal(err)
	}
	p.fill(inUniverse)
	whole := p.want(0, status+" --require complete --output json")
	var answer struct {
		Verdict  string
		ExitCode int
		Pools    []struct{ Pool, Verdict, Date string }
	}
	if err := json.Unmarshal([]byte(whole.out), &answer); err != nil {
		t.Fatalf("%v: %s", err, whole.out)
	}
	if answer.Verdict != "whole" || answer.ExitCode != 0 || len(answer.Pools) != 1 || answer.Pools[0].Date != date {
		t.Errorf("status answers %+v, want %s whole", answer, date)
	}

	tomorrow := p.sim.Now().AddDate(0, 0, 1).Format(time.DateOnly)
	p.want(4, "status --pool universe --date "+tomorrow, "not due", "No scheduled run fetches it.", "Next: afterbell schedule show")
	// Before the window nothing is promised, and nothing is whole that was never held.
	p.want(3, "status --pool universe --date 2015-06-15", "Next: afterbell run universe --from 2015-06-15 --to 2015-06-15 --watch")
	p.want(3, "status --pool targets --require complete", "the list has no symbols", "Next: afterbell targets add")
	p.want(1, "status --wait -5s", "--wait")
	p.want(1, "status --date yesterday", "--date", "Next: afterbell status --help")
	p.want(1, "status --bogus", "--bogus", "Next: afterbell status --help")

	p.Worker.Kill()
	p.want(5, status, "WORKER_UNREACHABLE", "Next: afterbell doctor")
	if err := p.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.want(0, status+" --wait 30s")

	p.Orchestrator.Kill()
	p.want(5, status, "cannot be reached", "Next: afterbell doctor")
	if got := run(t, closedPort(t), "status", "--output", "json"); got.code != 5 || json.Unmarshal([]byte(got.out), &answer) != nil || answer.Verdict != "unreachable" {
		t.Errorf("nothing listens: exit code %d, %s", got.code, got.out)
	}
}

// Of a day without trading the open day before it is judged.
func TestClosedDayIsJudgedByTheOneBefore(t *testing.T) {
	t.Parallel()
	p := up(t)
	now := p.sim.Now()
	open := p.sim.OpenDates(now.AddDate(0, 0, -9).Format("20060102"), now.Format("20060102"))
	closed := now.AddDate(0, 0, -1)
	for slices.Contains(open, closed.Format("20060102")) {
		closed = closed.AddDate(0, 0, -1)
	}
	p.fill(inUniverse)
	p.want(0, "status --pool universe --date "+closed.Format(time.DateOnly), "was closed on "+closed.Format(time.DateOnly))
}
