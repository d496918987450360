package app

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
)

func revision(id int64, symbol, day string, before, after string) *marketv1.Revision {
	r := &marketv1.Revision{RevisionId: id, DatasetId: "daily", Symbol: symbol, TradeDate: day, Column: "close", OldValue: &before,
		Change: marketv1.Revision_CHANGE_CHANGED, SeenTime: timestamppb.Now(), RunId: "r"}
	if after != "" {
		r.NewValue = &after
	}
	return r
}

// Changes by the provider are reported with the run that found them, and each value is listed, over
// gRPC and REST.
func TestRevisionsAreToldAndListed(t *testing.T) {
	r := start(t)
	r.worker.set(func() {
		for i := range int64(5) {
			r.worker.kept = append(r.worker.kept, revision(i+1, fmt.Sprintf("60000%d.SH", i), days[i%2], "10.5", "12"))
		}
		r.worker.kept = append(r.worker.kept, revision(6, "600006.SH", days[0], "7", ""))
	})
	created := r.create(t, &orchestratorv1.CreateRunRequest{Pools: universe})
	done, _ := r.finish(t, created.GetRunId())
	sum := done.GetRevisions()
	if sum.GetValueCount() != 6 || sum.GetRowCount() != 2 || sum.GetLargest().GetRevisionId() != 2 || sum.GetLargestChange() != 2 || sum.GetLargest().GetOldValue() != "10.5" {
		t.Errorf("the run ended with %v", sum)
	}
	got, err := r.runs().GetRun(t.Context(), &orchestratorv1.GetRunRequest{RunId: created.GetRunId()})
	if err != nil || got.GetRun().GetRevisions().GetValueCount() != 6 {
		t.Fatalf("GetRun returns %v, %v", got.GetRun().GetRevisions(), err)
	}
	if said := strings.Join(got.GetRun().GetExplanation(), "\n"); !strings.Contains(said, "6 values in 2 rows of the stored data changed or disappeared") ||
		!strings.Contains(said, "close of 600001.SH on 2026-02-27 was 10.5 and is now 12") {
		t.Errorf("explained as %s", said)
	}
	page, err := r.runs().ListPartitions(t.Context(), &orchestratorv1.ListPartitionsRequest{RunId: created.GetRunId()})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int64{}
	for _, p := range page.GetPartitions() {
		if p.GetRevisions() != nil {
			told[p.GetPartitionId()] = p.GetRevisions().GetValueCount()
		}
	}
	if len(told) != 2 || told["daily/"+days[0]] != 4 || told["daily/"+days[1]] != 2 {
		t.Errorf("the partitions tell %v", told)
	}
	db, err := sql.Open("sqlite3", filepath.Join(r.dir, ledger.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var values int
	if err := db.QueryRow("SELECT json_extract(meta_json, '$.revised.values') FROM ingest_runs WHERE id = ?", created.GetRunId()).Scan(&values); err != nil || values != 6 {
		t.Errorf("the ledger has %d, %v", values, err)
	}

	// Page by page, newest first, by either protocol.
	req := &orchestratorv1.ListRevisionsRequest{Pool: marketv1.Pool_POOL_UNIVERSE, DatasetId: "daily", Symbol: "600000.sh", StartDate: days[0], EndDate: days[2], RunId: "r", PageSize: 4}
	first, err := r.runs().ListRevisions(t.Context(), req)
	if err != nil || len(first.GetRevisions()) != 4 || first.GetRevisions()[0].GetRevisionId() != 6 || first.GetNextPageToken() == "" {
		t.Fatalf("the first page is %v, %v", first, err)
	}
	if v := first.GetRevisions()[0]; v.NewValue != nil || v.GetOldValue() != "7" {
		t.Errorf("null came as %v", v)
	}
	resp, body := r.get(t, "GET", fmt.Sprintf("/v1/revisions?pool=POOL_UNIVERSE&dataset_id=daily&symbol=600000.SH&start_date=%s&end_date=%s&run_id=r&page_size=4&page_token=%s",
		days[0], days[2], first.GetNextPageToken()), "")
	var second struct {
		Revisions     []map[string]any
		NextPageToken string
	}
	if err := json.Unmarshal([]byte(body), &second); err != nil || resp.StatusCode != 200 || len(second.Revisions) != 2 || second.NextPageToken != "" ||
		second.Revisions[1]["revisionId"] != "1" || second.Revisions[1]["oldValue"] != "10.5" || second.Revisions[1]["change"] != "CHANGE_CHANGED" {
		t.Errorf("the second page is %d %s", resp.StatusCode, body)
	}
	r.worker.set(func() {
		last := r.worker.asked[len(r.worker.asked)-1]
		if last.GetPool() != marketv1.Pool_POOL_UNIVERSE || last.GetDatasetId() != "daily" || last.GetSymbol() != "600000.SH" || last.GetStartDate() != days[0] ||
			last.GetEndDate() != days[2] || last.GetRunId() != "r" || last.GetBeforeRevisionId() != 3 || last.GetLimit() != 5 {
			t.Errorf("the worker was asked %v", last)
		}
	})
	if _, err := r.runs().ListRevisions(t.Context(), &orchestratorv1.ListRevisionsRequest{Pool: marketv1.Pool_POOL_UNIVERSE, Symbol: "sse"}); err != nil {
		t.Errorf("of the calendar: %v", err)
	}
	if _, body := r.get(t, "GET", "/v1/revisions?pool=universe&symbol=600519", ""); !strings.Contains(body, `symbol: \"600519\" is not a symbol: write six digits, a dot and SH, SZ or BJ, as in 600519.SH; or SSE, for the calendar`) {
		t.Error(body)
	}
	for field, bad := range map[string]*orchestratorv1.ListRevisionsRequest{
		"pool":       {},
		"page_size":  {Pool: marketv1.Pool_POOL_TARGETS, PageSize: 1001},
		"page_token": {Pool: marketv1.Pool_POOL_TARGETS, PageToken: first.GetNextPageToken()},
		"start_date": {Pool: marketv1.Pool_POOL_TARGETS, StartDate: "2026-02-30"},
		"symbol":     {Pool: marketv1.Pool_POOL_TARGETS, Symbol: "hello"},
		"dataset_id": {Pool: marketv1.Pool_POOL_TARGETS, DatasetId: "\x00"},
	} {
		_, err := r.runs().ListRevisions(t.Context(), bad)
		f, ok := fault.As(err)
		if faulttest.Produces(t, err, fault.InvalidArgument); !ok || len(f.Fields) != 1 || f.Fields[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
