package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ops is the folder of the dashboard and the alert rules.
const ops = "../../ops"

// scraped is what a service serves at /metrics, by name.
func (e *env) scraped(addr string) map[string]*dto.MetricFamily {
	e.t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		e.t.Fatalf("/metrics of %s: %d %v", addr, resp.StatusCode, err)
	}
	if bytes.Contains(text, []byte(token)) {
		e.t.Error("a metric holds the provider's token")
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		e.t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "afterbell_") {
			e.t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		e.t.Fatal(err)
	}
	return families
}

// withLabels returns the metrics of a family that have these labels, for example "pool=universe".
func withLabels(f *dto.MetricFamily, labels ...string) []*dto.Metric {
	return slices.DeleteFunc(slices.Clone(f.GetMetric()), func(m *dto.Metric) bool {
		has := map[string]bool{}
		for _, l := range m.GetLabel() {
			has[l.GetName()+"="+l.GetValue()] = true
		}
		return slices.ContainsFunc(labels, func(l string) bool { return !has[l] })
	})
}

// total adds their values; of histograms, how often something was observed.
func total(f *dto.MetricFamily, labels ...string) (n float64) {
	for _, m := range withLabels(f, labels...) {
		n += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return n
}

// metrics scrapes both services, compares with the ledger, and looks that every metric
// that the dashboard and the alert rules name is there.
func (e *env) metrics() {
	e.t.Helper()
	o, w := e.scraped(e.Config.HTTPAddr), e.scraped(e.Config.MetricsAddr)
	ledger := e.ledger()
	for _, pool := range []string{"targets", "universe"} {
		for change, column := range map[string]string{"new": "inserted", "changed": "updated"} {
			want := scalar[float64](e.t, ledger, "select total("+column+") from ingest_runs where scope = ?", pool)
			if got := total(o["afterbell_rows_total"], "pool="+pool, "change="+change); got != want {
				e.t.Errorf("%s rows of %s: %v are reported, the ledger has %v", change, pool, got, want)
			}
		}
		want := scalar[float64](e.t, ledger, "select count(*) from run_partitions p join ingest_runs r on r.id = p.run_id where scope = ? and state = 'completed'", pool)
		if got := total(o["afterbell_partitions_total"], "pool="+pool); got != want || want == 0 {
			e.t.Errorf("partitions of %s: %v are reported, the ledger has %v", pool, got, want)
		}
		if got := total(w["afterbell_commit_duration_seconds"], "pool="+pool); got < want {
			e.t.Errorf("commits of %s: %v are reported for %v partitions", pool, got, want)
		}
		if total(o["afterbell_last_run_outcome"], "pool="+pool) != 1 || total(o["afterbell_queued_runs"], "pool="+pool) != 0 || total(o["afterbell_run_active"], "pool="+pool) != 0 {
			e.t.Errorf("%s: %v %v %v", pool, o["afterbell_last_run_outcome"], o["afterbell_queued_runs"], o["afterbell_run_active"])
		}
		for _, dataset := range []string{"daily", "daily_basic", "moneyflow", "fund_daily"} {
			if got := withLabels(o["afterbell_trade_dates_behind"], "pool="+pool, "dataset="+dataset); len(got) != 1 || got[0].GetGauge().GetValue() > 1 {
				e.t.Errorf("freshness of %s in %s: %v", dataset, pool, got)
			}
		}
	}
	runs := scalar[float64](e.t, ledger, "select count(*) from ingest_runs where finished_at is not null")
	if got := total(o["afterbell_runs_total"]); got != runs {
		e.t.Errorf("%v runs are reported, the ledger has %v", got, runs)
	}
	calls := scalar[float64](e.t, ledger, "select total(calls) from run_details")
	if got := total(w["afterbell_provider_calls_total"]); got < calls || got != total(w["afterbell_provider_calls_total"], "result=ok") {
		e.t.Errorf("%v calls are reported, the runs spent %v: %v", got, calls, w["afterbell_provider_calls_total"])
	}
	if total(w["afterbell_probes_total"], "result=pass") < 6 || total(o["afterbell_probe_passed"]) != 6 || total(o["afterbell_worker_up"]) != 1 {
		e.t.Errorf("probes: %v %v", w["afterbell_probes_total"], o["afterbell_probe_passed"])
	}
	if published := total(w["afterbell_publish_duration_seconds"]); published < 2 {
		e.t.Errorf("%v publications are reported", published)
	}
	for name, file := range map[string]string{"analysis.duckdb": "analysis.duckdb", "targets.sqlite": "targets.sqlite", "published/universe.duckdb": "published/universe.duckdb"} {
		if info, err := os.Stat(e.path(file)); err != nil || total(w["afterbell_file_bytes"], "file="+name) != float64(info.Size()) {
			e.t.Errorf("size of %s: %v, %v", name, w["afterbell_file_bytes"], err)
		}
	}
	there := slices.Collect(maps.Keys(o))
	there = append(there, slices.Collect(maps.Keys(w))...)
	for file, names := range namedMetrics(e.t) {
		for _, name := range names {
			if !slices.Contains(there, name) {
				e.t.Errorf("%s names the metric %s, which no service exports", file, name)
			}
		}
	}
}

// namedMetrics are the metrics that the dashboard and the alert rules name, by file.
func namedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	names := map[string][]string{}
	metric := regexp.MustCompile(`\bafterbell_[a-z_]+`)
	for _, file := range []string{"grafana-dashboard.json", "alerts.yml", "alerts_test.yml"} {
		text, err := os.ReadFile(filepath.Join(ops, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range metric.FindAllString(string(text), -1) {
			names[file] = append(names[file], strings.TrimSuffix(name, "_bucket"))
		}
		if len(names[file]) < 10 {
			t.Errorf("%s names %d metrics", file, len(names[file]))
		}
	}
	return names
}

// Each alert rule fires once under Debian's promtool, is tested, and is explained by the
// runbook; and the dashboard can be imported.
func TestAlertRulesFire(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile(filepath.Join(ops, "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join(ops, "alerts_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../../dev-docs/active/market-ingest-persistence/05-pitfalls.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) < 10 {
		t.Errorf("%d alerts", len(alerts))
	}
	for _, a := range alerts {
		name := a[1]
		if !strings.Contains(string(tests), "alertname: "+name+"\n        eval_time: ") || !strings.Contains(string(tests), "#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s is fired by no test", name)
		}
		if !strings.Contains(string(runbook), "\n### "+name+"\n") {
			t.Errorf("the runbook does not explain %s", name)
		}
		if !strings.Contains(string(rules), "05-pitfalls.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s does not point to the runbook", name)
		}
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile(filepath.Join(ops, "grafana-dashboard.json"))
	if err != nil || json.Unmarshal(text, &dashboard) != nil || len(dashboard.Panels) < 10 {
		t.Errorf("the dashboard: %v, %d panels", err, len(dashboard.Panels))
	}
	promtool := os.Getenv("AFTERBELL_PROMTOOL")
	if promtool == "" {
		t.Skip("AFTERBELL_PROMTOOL is not set; make test sets it")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		c := exec.CommandContext(t.Context(), promtool, args...)
		c.Dir = ops
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
