package cli_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// An assistant hears of a hole as a hole, of an absent worker as ignorance, and cannot
// change anything.
func TestAssistant(t *testing.T) {
	t.Parallel()
	p := up(t)
	date := p.lastOpen()
	if err := p.sim.Withhold("moneyflow", strings.ReplaceAll(date, "-", "")); err != nil {
		t.Fatal(err)
	}
	p.fill(inUniverse)
	c := exec.Command(filepath.Join(bin, "afterbell"), "mcp", "--orchestrator", p.Config.GRPCAddr, "--http-addr", p.Config.HTTPAddr, "--timeout", "20s")
	c.Stderr = os.Stderr
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &mcp.CommandTransport{Command: c, TerminateDuration: 5 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tool := range tools.Tools {
		names = append(names, tool.Name)
		if tool.Annotations == nil || !tool.Annotations.ReadOnlyHint {
			t.Errorf("the tool %s does not say that it only reads", tool.Name)
		}
	}
	if got := strings.Join(names, " "); got != "condition coverage explain rows runs status" {
		t.Errorf("tools: %s", got)
	}
	call := func(name string, args map[string]any) (string, bool) {
		t.Helper()
		r, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: args})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text, ok := r.Content[0].(*mcp.TextContent)
		if !ok {
			t.Fatalf("%s answers with %T", name, r.Content[0])
		}
		return text.Text, r.IsError
	}
	text, _ := call("status", map[string]any{"pool": "universe", "date": date})
	var status struct {
		Verdict string
		Pools   []struct {
			Lacking []struct{ DatasetId, TradeDate string }
		}
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if status.Verdict != "not_whole" || len(status.Pools[0].Lacking) != 1 || status.Pools[0].Lacking[0].DatasetId != "moneyflow" {
		t.Errorf("status with moneyflow withheld: %s", text)
	}
	if text, _ = call("coverage", map[string]any{"pool": "universe", "from": date, "to": date}); !strings.Contains(text, `"lacking":1`) {
		t.Errorf("coverage with moneyflow withheld: %s", text)
	}
	// The hole comes with the rows: moneyflow has none of the date, and says why.
	var rows struct {
		Version        string
		Complete, More bool
		Rows           []map[string]any
		Lacking        []struct{ DatasetId, TradeDate, State string }
	}
	text, _ = call("rows", map[string]any{"table": "daily_moneyflows", "symbols": []string{"600000.SH"}, "from": date, "to": date})
	if err := json.Unmarshal([]byte(text), &rows); err != nil || rows.Complete || len(rows.Rows) != 0 || len(rows.Lacking) != 1 || rows.Lacking[0].TradeDate != date {
		t.Errorf("rows of a hole: %v %s", err, text)
	}
	rows.Lacking = nil
	text, _ = call("rows", map[string]any{"table": "daily_prices", "from": date, "to": date, "columns": []string{"symbol", "close"}, "count": 3})
	if err := json.Unmarshal([]byte(text), &rows); err != nil || !rows.Complete || !rows.More || len(rows.Rows) != 3 || rows.Rows[0]["close"] == nil || rows.Version == "" {
		t.Errorf("rows: %v %s", err, text)
	}
	if text, failed := call("rows", map[string]any{"table": "daily_prices", "columns": []string{"nothing"}}); !failed || !strings.Contains(text, "columns[0]") {
		t.Errorf("rows of no column: %s", text)
	}
	if text, _ = call("condition", map[string]any{"table": "daily_moneyflows", "from": date, "to": date}); !strings.Contains(text, `"lacking":1`) || !strings.Contains(text, date) {
		t.Errorf("condition with moneyflow withheld: %s", text)
	}
	if text, failed := call("coverage", map[string]any{"pool": "both", "from": date}); !failed || !strings.Contains(text, "NOT_FOUND") {
		t.Errorf("coverage of a pool that is none: %s", text)
	}
	if text, failed := call("status", map[string]any{"date": "yesterday"}); !failed || !strings.Contains(text, "YYYY-MM-DD") {
		t.Errorf("status of a date that is none: %s", text)
	}
	if text, _ = call("runs", map[string]any{"pool": "universe"}); !strings.Contains(text, `"runs":[{`) {
		t.Errorf("runs: %s", text)
	}
	tomorrow := p.sim.Now().AddDate(0, 0, 1).Format(time.DateOnly)
	if text, _ = call("explain", map[string]any{"slot": tomorrow + ".universe"}); !strings.Contains(text, "is due at") {
		t.Errorf("explain: %s", text)
	}
	p.Worker.Kill()
	if text, failed := call("status", map[string]any{"pool": "universe", "date": date}); !failed || !strings.Contains(text, "The state of the data is unknown") {
		t.Errorf("status without the worker: %s", text)
	}
}
