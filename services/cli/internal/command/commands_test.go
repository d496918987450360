package command

import (
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// The REST calls in the orchestrator's texts are replaced by the equivalent commands.
func TestRestCallsBecomeCommands(t *testing.T) {
	a := &app{}
	for said, want := range map[string]string{
		`Look at them: curl localhost:7780/v1/domains`:                                                  "Look at them: afterbell domains",
		`curl -N http://127.0.0.1:4711/v1/runs/0190-a:watch`:                                            "afterbell watch 0190-a",
		`curl localhost:7780/v1/runs/0190-a/partitions`:                                                 "afterbell show 0190-a --partitions",
		`curl localhost:7780/v1/pools/universe/coverage`:                                                "afterbell coverage universe",
		`curl "localhost:7780/v1/pools/targets/coverage?start_date=2026-11-01&end_date=2026-11-02"`:     "afterbell coverage targets --from 2026-11-01 --to 2026-11-02",
		`curl -X POST localhost:7780/v1/pools/universe:resume -d '{}'`:                                  "afterbell resume universe",
		`curl -X PATCH localhost:7780/v1/domains/etf -d '{"enabled":false}'`:                            "afterbell domains disable etf",
		`curl -X PATCH localhost:7780/v1/modules/stock.moneyflow -d '{"enabled":true}'`:                 "afterbell modules enable stock.moneyflow",
		`curl -X PATCH localhost:7780/v1/domains/stock -d '{"provider_id":"tushare"}'`:                  "afterbell domains set stock --provider tushare",
		`curl -X PATCH localhost:7780/v1/schedule -d '{"enabled":true}'`:                                "afterbell schedule set --enabled=true",
		`curl -X PATCH localhost:7780/v1/schedule -d '{"pools":["POOL_TARGETS","POOL_UNIVERSE"]}'`:      "afterbell schedule set --pools=targets,universe",
		`curl -X PATCH localhost:7780/v1/schedule -d '{"run_at":"19:30"}'`:                              "afterbell schedule set --run-at=19:30",
		`curl -X POST localhost:7780/v1/schedule:resume -d '{"catch_up":"CATCH_UP_LAST"}'`:              "afterbell schedule resume --catch-up last",
		`curl -N -X POST localhost:7780/v1/preflights:run -d '{}'`:                                      "afterbell preflight",
		`curl -X PUT localhost:7780/v1/targets -d '{"targets":{"symbols":["600519.SH"]}}'`:              "afterbell targets set 600519.SH",
		`curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_UNIVERSE"],"end_date":"2026-11-27"}'`:  "afterbell run universe --to 2026-11-27 --watch",
		`curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_TARGETS"],"refetch":true}'`:            "afterbell run targets --refetch --watch",
		`curl "localhost:7780/v1/revisions?dataset=daily&trade_date=2026-11-27"`:                        "afterbell revisions universe --dataset daily --from 2026-11-27 --to 2026-11-27",
		`curl "localhost:7780/v1/pools/universe/absent-symbols?dataset_id=daily&trade_date=2026-11-27"`: "afterbell absent universe --dataset daily --date 2026-11-27",
		`curl https://desk1.lan:7780/v1/domains`:                                                        "afterbell domains",
		`curl localhost:7780/v1/limits`:                                                                 "afterbell limits list",
		`curl -X POST localhost:7780/v1/limits:forget -d '{}'`:                                          "afterbell limits forget",
		`curl -X POST localhost:7780/v1/limits:forget -d '{"provider_apis":["daily"]}'`:                 "afterbell limits forget daily",
		`curl localhost:7780/v1/channels`:                                                               "afterbell notify list",
		`curl -X POST localhost:7780/v1/channels/desk:test -d '{}'`:                                     "afterbell notify test desk",
		`curl localhost:7780/v1/nothing/known`:                                                          "curl localhost:7780/v1/nothing/known",
		`"nope" is not a module; GET /v1/domains lists the modules`:                                     `"nope" is not a module; afterbell domains lists the modules`,
		`POST /v1/pools/universe:resume resumes it, GET /v1/none.`:                                      "afterbell resume universe resumes it, GET /v1/none.",
		`Make room: df -h data`: "Make room: df -h data",
	} {
		if got := a.commands(said); got != want {
			t.Errorf("%s\n gives %s\n want  %s", said, got, want)
		}
	}
}

// A user of the command is told commands: every REST call in the remedies of the reasons has one.
func TestRemediesBecomeCommands(t *testing.T) {
	a := &app{}
	for _, r := range fault.Reasons() {
		d, _ := fault.Describe(r)
		if said := a.commands(d.Remedy); strings.Contains(said, "/v1/") {
			t.Errorf("%s: %s", r, said)
		}
	}
}

// In Chinese the reason comes first, then the message as it was written.
func TestServicesSpeakChinese(t *testing.T) {
	meta := map[string]string{"dataset": "moneyflow", "trade_date": "2026-11-27"}
	const said, todo = "moneyflow of 2026-11-27 is not published yet.", "Resume the schedule: curl -X POST localhost:7780/v1/schedule:resume -d '{}'"
	en := &app{Lang: lang.English}
	if message, remedy := en.translated("NOT_PUBLISHED", meta, said, todo); message != said || remedy != todo {
		t.Errorf("%q, %q", message, remedy)
	}
	zh := &app{Lang: lang.Chinese}
	message, remedy := zh.translated("NOT_PUBLISHED", meta, said, todo)
	if want := "数据源尚未发布 2026-11-27 的 moneyflow（" + strings.TrimSuffix(said, ".") + "）。"; message != want || zh.commands(remedy) != "恢复计划：afterbell schedule resume" {
		t.Errorf("%q, %q", message, remedy)
	}
	absent := map[string]string{"kind": "run", "id": "R1"}
	if message, _ := zh.translated("NOT_FOUND", absent, `There is no run "R1".`, ""); message != "运行 R1 不存在。" {
		t.Errorf("a run that does not exist: %q", message)
	}
	if message, _ := zh.translated("NOT_FOUND", map[string]string{"kind": "table", "id": "x"}, `There is no table "x"; the tables are a, b.`, ""); message != `表 x 不存在（There is no table "x"; the tables are a, b）。` {
		t.Errorf("a table that does not exist: %q", message)
	}
	if message, remedy := zh.translated("NEWER", nil, said, "What is new."); message != said || remedy != "What is new." {
		t.Errorf("of a newer release: %q, %q", message, remedy)
	}
}
