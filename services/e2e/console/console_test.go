package console_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	_ "github.com/mattn/go-sqlite3" // opens the ledger as users do

	"github.com/afterbell/afterbell/services/tusharesim"
)

type run struct {
	RunID                   string
	Pool                    string
	State                   string
	Outcome                 string
	CompletedPartitionCount int
	Issues                  []struct{ Message, Remedy string }
}

type runs struct{ Runs []run }

// pages are all pages, as their addresses have them.
var pages = []string{"", "preflight", "runs", "coverage", "look/%s", "targets", "modules", "schedule", "notices", "settings", "keys", "audit", "about"}

// TestConsole uses the console as a user does, with one pair: from the first evening, which is
// blocked, to complete pools, and then through several failures.
func TestConsole(t *testing.T) {
	e := up(t)
	symbols := e.listed(3)

	e.part("nothing is there yet", func(e *env) {
		e.open("")
		e.until("the pools", `document.querySelectorAll("[data-pool]").length === 2`)
		e.open("runs")
		e.answers("还没有运行过")
		e.open("coverage?pool=targets")
		e.open("look/" + symbols[0])
		e.answers("还没有发布过数据")
		e.until("the way to the first run", `document.querySelector("main .card a[href^='#/preflight']")`)
		e.open("about")
		e.until("that nothing is published", `document.querySelector("main").innerText.includes("还没有发布；") && !document.querySelector("main .failure")`)
		e.p.Errors() // the browser notes the answer 404
	})

	// The next two parts follow the walkthrough in dev-docs: why was the run blocked, and what
	// unblocks it?
	walk := e.walk()
	var blocked run
	e.part("a blocked run says why, word for word", func(e *env) {
		e.must(e.sim.SetTokens(map[string]tusharesim.Grant{token: {Deny: []string{tusharesim.FundDaily}}}))
		e.sim.SetLatency(120*time.Millisecond, 0)
		e.open("preflight?pool=universe")
		e.must(e.p.Eval(`(() => {
			window.seen = new Set();
			new MutationObserver(() => {
				const states = [...document.querySelectorAll("tr[data-module]")].map((r) => r.dataset.state);
				window.seen.add(["waiting", "checking", "STATUS_PASS"].filter((s) => states.includes(s)).join(" "));
			}).observe(document.body, { subtree: true, childList: true, attributes: true });
		})()`, nil))
		e.click(`[data-act=run]`)
		e.until("the run's page", `location.hash.startsWith("#/runs/")`)
		var live []string
		e.must(e.p.Eval(`[...window.seen]`, &live))
		if !strings.Contains(strings.Join(live, "|"), "waiting checking STATUS_PASS") {
			e.t.Errorf("the modules were not seen to wait, be checked and pass one by one: %q", live)
		}
		e.answers("被阻止")
		e.sim.SetLatency(0, 0)
		blocked = rest[runs](e, "GET", "/v1/runs?pool=universe", "").Runs[0]
		message := e.ledger(blocked.RunID)
		if message == "" {
			e.t.Fatal("the ledger has no message")
		}
		e.until("the issue", `document.querySelector("main .issues li p[lang=en]")`)
		// The ledger's message is the sentence and then the remedy.
		if said := e.text("main .issues li p[lang=en]"); len(said) < 40 || !strings.HasPrefix(message, said) {
			e.t.Errorf("the page says %q, and the ledger %q", said, message)
		}
		e.until("the remedy", `document.querySelector("main .issues .command code")?.innerText.includes("/v1/domains/etf")`)
		e.until("the same in Chinese", `document.querySelector("main .issues").innerText.includes("积分或授权不足") && document.querySelector("main .issues .remedy").innerText.includes("停用")`)
		e.picture("blocked")
		e.open("")
		e.until("the verdict", `document.querySelector("[data-pool=universe]").dataset.verdict === "blocked"`)
		e.answers("下一次运行会被阻止")
		e.picture("tonight-blocked")
		e.agrees("blocked")
		e.shows(walk.steps[0])
		e.click("[data-pool=universe] .foot a")
		e.until("the run's page", fmt.Sprintf("location.hash.includes(%q)", blocked.RunID))
		e.settled("of the run")
		e.shows(walk.steps[1])
	})

	e.part("the remedy mends it", func(e *env) {
		e.open("modules/etf.daily_quote")
		e.shows(walk.steps[2])
		e.until("what the probe found", `document.querySelector("[data-module='etf.daily_quote'] .issues")?.innerText.includes("PERMISSION_DENIED")`)
		e.click(`[aria-label="启用领域 etf"]`)
		e.until("the switch", `document.querySelector("[aria-label='启用领域 etf']").ariaChecked === "false"`)
		e.until("the command", `document.querySelector(".notice")?.innerText.includes("afterbell domains disable etf")`)
		e.sim.SetLatency(15*time.Millisecond, 0)
		e.open("preflight?pool=universe")
		e.shows(walk.steps[3])
		e.click(`[data-act=run]`)
		e.until("the run's page", fmt.Sprintf(`location.hash.startsWith("#/runs/") && !location.hash.includes(%q)`, blocked.RunID))
		e.answers("进行中，完成")
		e.until("the timeline while it runs", `document.querySelectorAll(".timeline path").length > 0 && document.querySelector(".badge.run")`)
		e.picture("run-live")
		e.answers("成功")
		e.shows(walk.steps[4])
		e.sim.SetLatency(0, 0)
		last := rest[runs](e, "GET", "/v1/runs?pool=universe", "").Runs[0]
		e.until("every partition settled", fmt.Sprintf(`document.querySelector("main .facts").innerText.replaceAll(",", "").includes("%d / %d")`, last.CompletedPartitionCount, last.CompletedPartitionCount))
		e.until("the timeline", `document.querySelectorAll(".timeline path").length >= 3`)
		e.until("the phases", `["wait", "fetch", "check", "commit"].filter((p) => document.querySelector(".timeline path.t-" + p)).length >= 3`)
		e.must(e.p.Eval(`document.querySelector("[data-timeline]").focus()`, nil))
		e.until("the first piece in words", `/获取 [\d.]+ 毫?秒 · 检查 .+ · 提交 /.test(document.querySelector("[data-told]")?.innerText)`)
		first := e.text("[data-told]")
		e.must(e.p.Press(kb.ArrowRight))
		e.until("the next piece", fmt.Sprintf(`document.querySelector("[data-told]").innerText !== %q`, first))
		e.until("the chain", `document.querySelectorAll("ol.chain li").length > 4`)
		e.open("")
		e.until("the verdict", `document.querySelector("[data-pool=universe]").dataset.verdict === "whole"`)
		e.agrees("whole")
		e.shows(walk.steps[5])
	})

	e.part("a difference is told by its numbers", func(e *env) {
		last := rest[runs](e, "GET", "/v1/runs?pool=universe", "").Runs[0]
		e.open("runs/" + last.RunID)
		e.must(e.p.Eval(`(() => {
			const real = window.fetch;
			window.fetch = (path, ...more) => !String(path).endsWith(":verify") ? real(path, ...more) : Promise.resolve(new Response(JSON.stringify({ checkedCount: 3, differences: [
				{ partitionId: "daily.2026-03-02", rowCount: "5", duplicateCount: "1", coverageCount: "4", claimedCount: "4", message: "It has one row more than was committed.", altered: true }] })));
		})()`, nil))
		e.press("校验")
		e.confirm("校验")
		e.until("the difference", `document.querySelector("[data-difference]")?.innerText.trim() === "daily.2026-03-02：文件中 5 行，其中重复 1 行，覆盖记录为 4 行，这次运行提交了 4 行，内容已不是提交时的内容。"`)
		e.must(e.p.Goto("about:blank")) // the page's own fetch again
	})

	e.part("verify", func(e *env) {
		last := rest[runs](e, "GET", "/v1/runs?pool=universe", "").Runs[0]
		e.open("runs/" + last.RunID)
		e.press("校验")
		e.confirm("校验")
		e.until("agreement", `document.querySelector("[data-verified]")?.dataset.verified === "0"`)
	})

	e.part("a list of targets", func(e *env) {
		e.open("targets")
		e.answers("列表是空的")
		e.must(e.p.Eval(fmt.Sprintf(`(() => { const a = document.querySelector("textarea"); a.value = %q; a.dispatchEvent(new Event("input", { bubbles: true })); })()`, "60051 "+symbols[0]), nil))
		e.until("the refusal", `document.querySelector("main .failure")?.innerText.includes("INVALID_ARGUMENT")`)
		e.p.Errors() // the browser notes the answer 400
		e.must(e.p.Eval(fmt.Sprintf(`(() => { const a = document.querySelector("textarea"); a.value = %q; a.dispatchEvent(new Event("input", { bubbles: true })); })()`, strings.Join(symbols, "\n")), nil))
		e.until("the preview", `document.querySelector(".plus")?.innerText === "+3"`)
		e.press("保存列表")
		e.confirm("保存列表")
		e.answers("跟踪 3 只股票")
		e.open("")
		e.until("what lacks", `document.querySelector("[data-pool=targets]").dataset.verdict === "not_whole"`)
		e.agrees("whole")
	})

	e.part("a backfill of a selection, priced before it is confirmed", func(e *env) {
		e.open("coverage?pool=targets")
		e.until("the heatmap", `document.querySelector("[data-dataset=daily] svg")`)
		days := e.days("targets", "daily")
		if len(days) < 12 {
			e.t.Fatalf("only %d days to choose from", len(days))
		}
		first, fourth := days[len(days)-8], days[len(days)-5]
		e.cell("daily", first, false)
		e.until("one cell", `document.querySelector("[data-selected]")?.dataset.selected === "1"`)
		e.cell("daily", fourth, true)
		e.until("four cells", `document.querySelector("[data-selected]")?.dataset.selected === "4"`)
		e.until("the price", `document.querySelector("[data-price]")`)
		plan := rest[struct {
			Plans []struct{ EstimatedCallCount int }
		}](e, "POST", "/v1/runs", fmt.Sprintf(`{"pools":["POOL_TARGETS"],"startDate":%q,"endDate":%q,"moduleIds":["stock.market.daily"],"validateOnly":true}`, first, fourth))
		if got := e.attribute("[data-price]", "price"); got != fmt.Sprint(plan.Plans[0].EstimatedCallCount) {
			e.t.Errorf("the price is %s calls, and the plan says %d", got, plan.Plans[0].EstimatedCallCount)
		}
		var address string
		e.must(e.p.Eval("location.hash", &address))
		if want := fmt.Sprintf("sel=daily:%s..%s", first, fourth); !strings.Contains(address, want) {
			e.t.Errorf("the address %s does not hold the selection %s", address, want)
		}
		e.picture("backfill")
		e.click("[data-act=backfill]")
		e.until("the command", fmt.Sprintf(`document.querySelector("dialog[open]")?.innerText.includes("afterbell run targets --from %s --to %s --modules stock.market.daily")`, first, fourth))
		e.click("[data-act=confirm]")
		e.until("the run's page", `location.hash.startsWith("#/runs/")`)
		e.answers("成功")
		e.open("coverage?pool=targets&at=daily:" + fourth)
		e.until("the cell", `document.querySelector("[data-inspector]").dataset.inspector === "complete"`)
		e.open("coverage?pool=targets&at=daily:" + days[0])
		e.until("another cell", `document.querySelector("[data-inspector]").dataset.inspector === "missing"`)
		e.click("[data-act=missing-only]")
		lacks, last := 0, map[string]string{} // the last day that a module lacks: of today it may be due without the others
		for _, c := range e.coverage("targets") {
			if module := map[string]string{"daily": "stock.market.daily", "daily_basic": "stock.market.daily", "moneyflow": "stock.moneyflow"}[c.DatasetID]; module != "" && c.TradeDate != "" && c.Verdict == "VERDICT_MISSING" {
				lacks++
				last[module] = max(last[module], c.TradeDate)
			}
		}
		e.until("all that lacks", fmt.Sprintf(`document.querySelector("[data-selected]")?.dataset.selected === "%d"`, lacks))
		e.until("its price", `document.querySelector("[data-price]")`)
		// What is complete between costs nothing, so that one request does for all modules with
		// the same last day.
		e.click("[data-act=backfill]")
		modules := map[string][]string{}
		for _, m := range slices.Sorted(maps.Keys(last)) {
			modules[last[m]] = append(modules[last[m]], m)
		}
		e.until("the commands", fmt.Sprintf(`document.querySelectorAll("dialog[open] .twins").length === %d`, len(modules)))
		for end, m := range modules {
			command := fmt.Sprintf("afterbell run targets --from %s --to %s --modules %s", days[0], end, strings.Join(m, ","))
			e.until("the command "+command, fmt.Sprintf(`document.querySelector("dialog[open]")?.innerText.includes(%q)`, command))
		}
		e.confirm("返回")
	})

	e.part("the heatmap by keyboard", func(e *env) {
		days := e.days("universe", "daily")
		e.open("coverage?at=daily:" + days[len(days)-1])
		e.must(e.p.Eval(`document.querySelector("[data-dataset=daily] .heat-box").focus()`, nil))
		e.must(e.p.Press(kb.ArrowUp, kb.ArrowUp))
		e.until("two days back", fmt.Sprintf(`document.querySelector(".sticky h2").innerText.includes(%q)`, days[len(days)-3]))
		e.must(e.p.Press(" "))
		e.until("one cell", `document.querySelector("[data-selected]")?.dataset.selected === "1"`)
		e.must(e.p.Press(kb.Escape))
		e.until("no cell", `!document.querySelector("[data-selected]")`)
		e.picture("coverage")
	})

	e.part("a symbol with its holes", func(e *env) {
		days := e.days("universe", "daily")
		symbol := e.absent(days)
		e.open("look/" + symbol)
		e.answers("个空洞")
		e.open("look/ABC")
		e.answers("ABC 不是代码")
		e.p.Errors() // the browser notes the answer 400
		e.open("look/999999.SH")
		e.answers("没有 999999.SH 这只证券")
		e.until("no holes of what does not exist", `!document.querySelector("main table")`)
		e.open("look/" + symbol + "?pool=targets")
		e.answers("这段时间没有数据")
		e.until("why, and where else", `document.querySelector(".empty a[href*='pool=universe']") && !document.querySelector("main table")`)
		e.open("look/" + symbol + "?table=nope&adjust=qfq&days=x")
		e.answers("个空洞") // what is not on offer is the first offer
		e.open("look/" + symbol)
		lacks := 0
		for _, day := range days {
			for _, a := range rest[struct{ AbsentSymbols []struct{ Symbol string } }](e, "GET", "/v1/pools/universe/absent-symbols?dataset_id=daily&trade_date="+day, "").AbsentSymbols {
				if a.Symbol == symbol {
					lacks++
				}
			}
		}
		e.until("each hole in the table", fmt.Sprintf(`document.querySelectorAll("tr.hole").length === %d`, lacks))
		e.until("the hole in the line", `document.querySelector(".hole-band")?.getAttribute("d").length > 0`)
		e.open("look/" + symbol + "?adjust=forward")
		e.must(e.p.Eval(`document.querySelector("main form input").select()`, nil))
		e.must(e.p.Press(strings.Split(symbol[:6], "")...))
		e.until("the symbol that is meant", fmt.Sprintf(`document.querySelector(".suggest")?.innerText.includes(%q)`, symbol))
		e.must(e.p.Press(kb.Enter))
		e.until("its page", fmt.Sprintf(`location.hash.startsWith("#/look/%s") && location.hash.includes("adjust=forward")`, symbol))
		e.until("the factor", `[...document.querySelectorAll("th")].some((h) => h.innerText.includes("复权因子"))`)
		e.picture("look")
	})

	e.part("cancel", func(e *env) {
		e.sim.SetLatency(400*time.Millisecond, 0)
		defer e.sim.SetLatency(0, 0)
		r := rest[runs](e, "POST", "/v1/runs", `{"pools":["POOL_UNIVERSE"],"refetch":true}`).Runs[0]
		e.open("runs/" + r.RunID)
		e.answers("进行中")
		e.press("取消")
		e.confirm("取消")
		e.answers("已取消")
		e.must(e.p.Eval(`document.querySelector("[data-timeline]").focus()`, nil))
		e.must(e.p.Press(kb.End))
		e.until("a piece without phases", `document.querySelector("[data-told]")?.innerText.includes("没有各阶段的时间")`)
	})

	e.part("builds, files and publications", func(e *env) {
		info := rest[struct {
			Publications []struct{ Pool, Version string }
			Worker       struct{ GoVersion string }
		}](e, "GET", "/v1/info", "")
		if len(info.Publications) != 2 {
			e.t.Fatalf("published: %+v", info.Publications)
		}
		e.open("about")
		e.answers("都在运行")
		for _, file := range []string{"market-cache.sqlite", "targets.sqlite", "analysis.duckdb"} {
			e.until("the size of "+file, fmt.Sprintf(`/\d [kM]B/.test(document.querySelector("[data-file='%s']")?.innerText)`, file))
		}
		for _, p := range info.Publications {
			e.until("the version of "+p.Pool, fmt.Sprintf(`document.querySelector("main").innerText.includes(%q)`, p.Version))
		}
		e.until("what the worker was built with", fmt.Sprintf(`document.querySelector("[data-service=采集器]").innerText.includes(%q)`, strings.TrimPrefix(info.Worker.GoVersion, "go")))
	})

	e.part("a stream that is cut goes on where it was", func(e *env) {
		e.sim.SetLatency(150*time.Millisecond, 0)
		defer e.sim.SetLatency(0, 0)
		r := rest[runs](e, "POST", "/v1/runs", `{"pools":["POOL_UNIVERSE"],"refetch":true}`).Runs[0]
		e.open("runs/" + r.RunID)
		e.answers("进行中，完成")
		e.proxy.Cut(true)
		e.until("the cut", `document.querySelector("[data-stream=cut]") && document.querySelector("[data-link=lost]")`)
		before := rest[struct{ Run run }](e, "GET", "/v1/runs/"+r.RunID, "").Run.CompletedPartitionCount
		e.untilRun(r.RunID, func(now run) bool { return now.CompletedPartitionCount > before })
		e.picture("cut")
		e.proxy.Cut(false)
		e.until("the resumption", `document.querySelector("[data-stream=resumed]")`)
		if got := e.text("[data-stream=resumed]"); strings.Contains(got, "补回 0 ") {
			e.t.Errorf("nothing was caught up: %s", got)
		}
		e.answers("成功")
		e.until("the end of the banner", `!document.querySelector("[data-link=lost]")`)
		last := rest[struct{ Run run }](e, "GET", "/v1/runs/"+r.RunID, "").Run
		e.until("every partition once", fmt.Sprintf(`document.querySelector("main .choice button").innerText.replaceAll(",", "").includes("%d")`, last.CompletedPartitionCount))
		e.p.Errors() // the browser notes each connection that it could not make
	})

	e.part("the provider is down", func(e *env) {
		id, err := e.sim.AddFault(tusharesim.Fault{Kind: tusharesim.HTTP503})
		e.must(err)
		defer e.sim.RemoveFault(id)
		e.open("preflight?pool=universe")
		e.click("[data-act=check]")
		e.until("the verdict", `["DECISION_RETRY", "DECISION_BLOCKED"].includes(document.querySelector("[data-decision]")?.dataset.decision)`)
		e.until("the reason, once for all modules", `document.querySelectorAll("[data-decision] .issues > li").length <= 3 && document.querySelector("[data-decision] .issues").innerText.includes("PROVIDER_UNAVAILABLE")`)
		e.answers("数据源不可用")
		e.sim.RemoveFault(id)
		e.click("[data-act=check]")
		e.until("the verdict after it", `document.querySelector("[data-decision]")?.dataset.decision === "DECISION_READY"`)
	})

	e.part("a paused pool does not look failed", func(e *env) {
		e.open("settings")
		e.must(e.p.Eval(`document.querySelector("li[data-pool=targets] button").click()`, nil))
		e.confirm("暂停")
		e.until("the pause", `document.querySelector("li[data-pool=targets] .badge.hold")`)
		e.open("")
		e.until("the card", `document.querySelector("[data-pool=targets]").classList.contains("hold") && !document.querySelector("main h1 .mark.bad")`)
		e.open("coverage?pool=targets")
		e.answers("未完整")
		e.until("the note", `document.querySelector("main .notice .mark.hold") && document.querySelector("main h1 .mark.hold")`)
		e.open("settings")
		e.must(e.p.Eval(`document.querySelector("li[data-pool=targets] button").click()`, nil))
		e.confirm("恢复")
		e.until("the end of the pause", `!document.querySelector("li[data-pool=targets] .badge.hold")`)
	})

	e.part("a refused action says what was wrong", func(e *env) {
		e.open("schedule")
		e.must(e.p.Eval(`(() => { const i = [...document.querySelectorAll("main .form input")].find((x) => x.value === "19:30"); i.value = "25:00"; i.dispatchEvent(new Event("input", { bubbles: true })); })()`, nil))
		e.press("保存")
		e.until("the command", `document.querySelector("dialog[open]")?.innerText.includes("afterbell schedule set --run-at=25:00")`)
		e.confirm("保存")
		e.until("the refusal", `document.querySelector("dialog[open] .failure")?.innerText.includes("run_at：\"25:00\" 不是时刻")`)
		e.confirm("返回")
		e.p.Errors() // the browser notes the answer 400
	})

	e.part("the worker is away", func(e *env) {
		e.open("")
		e.until("the verdict", `document.querySelector("[data-pool=universe]").dataset.verdict`)
		e.must(e.Worker.Stop(30 * time.Second))
		e.until("the banner", `document.querySelector("[data-link=worker-away]")`)
		e.until("what it was judged by", `document.querySelector("[data-pool=universe]").innerText.includes("判断依据") && document.querySelector("main h1").innerText.includes("依据上海时间")`)
		e.picture("worker-away")
		e.must(e.StartWorker(e.t.Context()))
		e.until("the end of the banner", `!document.querySelector("[data-link=worker-away]")`)
		e.open("coverage")
		e.answers("全部完整")
		e.p.Errors() // the browser notes each answer 503
	})

	e.part("keys", func(e *env) {
		e.open("")
		e.must(e.p.Press("/"))
		e.until("the jump", `document.querySelector("dialog.jump[open] input") === document.activeElement`)
		e.must(e.p.Press("r", "u", "n", "s", kb.Enter))
		e.until("the runs", `location.hash === "#/runs"`)
		e.settled("runs")
		e.until("rows", `document.querySelectorAll("[data-row]").length > 2`)
		e.must(e.p.Press("j", "j", "k", "j"))
		e.until("the second row", `document.activeElement === document.querySelectorAll("main [data-row]")[1]`)
		e.must(e.p.Press(kb.Enter))
		e.until("its run", `location.hash.startsWith("#/runs/")`)
		e.must(e.p.Press("?"))
		e.until("the help", `document.querySelector("dialog[open]")?.innerText.includes("下一行")`)
		e.must(e.p.Press(kb.Escape))
		e.until("no dialog", `!document.querySelector("dialog[open]")`)
		e.must(e.p.Goto("about:blank"))
		e.open("about")
		e.must(e.p.Press(kb.Tab))
		e.until("the link over the pages", `document.activeElement?.classList.contains("skip")`)
	})

	e.part("everything by keyboard alone", func(e *env) {
		rest[any](e, "POST", "/v1/channels", `{"channelId":"desk","kind":"KIND_WEBHOOK","url":"http://127.0.0.1:9/"}`)
		for _, page := range e.all(symbols[0], blocked.RunID) {
			e.open(page)
			e.tabs(page)
			e.dialogs(page)
		}
		e.phone()
		e.open("")
		e.must(e.p.Eval(`document.querySelector("button.menu").focus()`, nil))
		e.must(e.p.Press(kb.Enter, kb.Tab))
		for range 8 { // past the buttons at the top, into the list of pages
			if e.is(`document.activeElement.closest("nav")`) {
				break
			}
			e.must(e.p.Press(kb.Tab))
		}
		e.until("a page in the opened list", `document.activeElement.closest("nav.open")`)
		e.must(e.p.Press(kb.Tab, kb.Enter))
		e.until("its page, and the list closed", `location.hash === "#/preflight" && !document.querySelector("nav.open")`)
		e.desktop()
		// A link that is followed is gone; the focus is then on the page's first line.
		e.open("runs")
		e.must(e.p.Eval(`document.querySelector("main [data-row]").focus()`, nil))
		e.must(e.p.Press(kb.Enter))
		e.until("the focus on the run's first line", `location.hash.startsWith("#/runs/") && document.activeElement === document.querySelector("main h1")`)
	})

	e.part("both languages, no other host, nothing serious for axe", func(e *env) {
		axe := e.axe()
		list := e.all(symbols[0], blocked.RunID)
		for _, look := range []struct {
			language string
			dark     bool
		}{{"en", true}, {"zh", false}} {
			e.open("")
			e.must(e.p.Dark(look.dark))
			e.must(e.p.Eval(fmt.Sprintf(`document.documentElement.lang.startsWith(%q) || document.querySelector("[data-lang]").click()`, look.language), nil))
			for _, page := range list {
				e.open(page)
				var text string
				e.must(e.p.Eval(`[...document.querySelectorAll("nav, main h1, main h2, main th, main button, main label > span")].map((x) => x.innerText).join("\n")`, &text))
				if han := strings.IndexFunc(text, isHan) >= 0; han != (look.language == "zh") && !strings.HasPrefix(page, "look/") {
					e.t.Errorf("page %q in %s says:\n%s", page, look.language, text)
				}
				if look.language == "zh" {
					e.inChinese(page)
				} else {
					e.inPlural(page)
				}
				for _, v := range e.violations(axe) {
					e.t.Errorf("page %q, dark %v: %s", page, look.dark, v)
				}
			}
		}
		e.phone()
		for _, page := range list {
			e.open(page)
			var over float64
			e.must(e.p.Eval("document.documentElement.scrollWidth - innerWidth", &over))
			if over > 0 {
				e.t.Errorf("page %q is %v pixels wider than a phone", page, over)
			}
			name, _, _ := strings.Cut(page, "/")
			e.picture("phone-" + name)
		}
		e.desktop()
		host, err := url.Parse(e.proxy.URL)
		e.must(err)
		if foreign := e.p.Foreign(host.Host); len(foreign) > 0 {
			e.t.Errorf("the page asked other hosts: %q", foreign)
		}
		if n := len(e.p.Requests()); n < 100 {
			e.t.Errorf("only %d requests were seen", n)
		}
	})

	e.part("what is prefetched is used", func(e *env) {
		for _, page := range e.all(symbols[0], blocked.RunID) {
			e.must(e.p.Goto("about:blank"))
			e.open(page)
			// A page asks again after some seconds. What it asks for at once a second time, by
			// the same query or another, was prefetched in vain.
			var twice []string
			e.must(e.p.Eval(`new Promise((done) => setTimeout(() => {
				const first = new Map(), twice = [];
				for (const r of performance.getEntriesByType("resource").filter((x) => x.initiatorType === "fetch")) {
					const path = new URL(r.name).pathname;
					if (["/readyz", "/v1/data"].includes(path)) continue; // the banner asks for the one too, and both pools have the other
					if (!first.has(path)) first.set(path, r);
					else if (r.startTime < first.get(path).responseEnd + 1000) twice.push(r.name);
				}
				done(twice);
			}, 200))`, &twice))
			if len(twice) > 0 {
				e.t.Errorf("page %q asks twice: %q", page, twice)
			}
		}
	})

	e.part("the walk in a terminal", func(e *env) {
		e.proxy.Cut(true) // the page would ask on meanwhile
		rest[any](e, "PATCH", "/v1/domains/etf", `{"enabled":true}`)
		again := rest[runs](e, "POST", "/v1/runs", `{"pools":["POOL_UNIVERSE"]}`).Runs[0]
		e.untilRun(again.RunID, func(r run) bool { return r.Outcome == "OUTCOME_BLOCKED" })
		for _, line := range walk.commands {
			words := strings.Fields(line.command)
			command := exec.Command(filepath.Join(bin, "afterbell"), words[1:]...)
			command.Env = append(os.Environ(), "AFTERBELL_ORCHESTRATOR="+e.Config.GRPCAddr, "AFTERBELL_LANG=en")
			out, _ := command.CombinedOutput() // its exit code is looked at
			if got := command.ProcessState.ExitCode(); got != line.code || !strings.Contains(string(out), line.says) {
				e.t.Fatalf("%s ends with %d and says\n%s\nthe walk says %d and %q", line.command, got, out, line.code, line.says)
			}
		}
		e.proxy.Cut(false)
		e.p.Errors() // the browser notes each connection that it could not make
	})

	e.part("a key is asked for where keys are required", func(e *env) {
		e.must(e.Orchestrator.Stop(30 * time.Second))
		create := func(name, role string) string {
			key, err := exec.Command(filepath.Join(bin, "orchestrator"), "keys", "create", name, "--role", role, "--data-dir", e.Config.Data).Output()
			e.must(err)
			return strings.TrimSpace(string(key))
		}
		owner := create("owner", "admin")
		key := create("desk", "operator")
		e.Config.OrchestratorFlags = append(e.Config.OrchestratorFlags, "--require-keys")
		e.must(e.StartOrchestrator(e.t.Context()))
		e.must(e.p.Goto("about:blank"))
		e.must(e.p.Goto(e.proxy.URL + "/"))
		e.answers("请用密钥登录")
		enter := func(text string) {
			e.must(e.p.Eval(fmt.Sprintf(`(() => { const i = document.querySelector("input[type=password]"); i.value = %q; i.dispatchEvent(new Event("input", { bubbles: true })); })()`, text), nil))
			e.press("登录")
		}
		enter("abk_wrong")
		e.until("the refusal", `document.querySelector("main .failure")?.innerText.includes("UNAUTHENTICATED")`)
		e.p.Errors() // the browser notes the answers 401
		enter(key)
		e.until("the pools", `document.querySelectorAll("[data-pool]").length === 2`)
		e.until("no page of keys", `![...document.querySelectorAll("nav a")].some((a) => ["密钥", "审计"].includes(a.innerText))`)
		e.open("keys")
		e.answers("需要管理员密钥")
		e.open("schedule")
		e.until("what an operator may not", `[...document.querySelectorAll("main button")].find((b) => b.innerText === "保存").disabled`)
		e.press("暂停计划")
		e.confirm("暂停计划")
		e.answers("计划已暂停")
		e.press("恢复计划")
		e.confirm("恢复计划")
		e.answers("不执行计划")
		e.click(`[title="退出登录"]`)
		e.answers("请用密钥登录")

		enter(owner)
		e.until("the admin's pages", `[...document.querySelectorAll("nav a")].filter((a) => ["密钥", "审计"].includes(a.innerText)).length === 2`)
		e.open("keys")
		e.answers("2 个密钥有效")
		e.must(e.p.Eval(`document.querySelector("input[name=name]").focus()`, nil))
		e.must(e.p.Press(strings.Split("books", "")...)) // and on by keyboard
		e.until("the button", `[...document.querySelectorAll("main button.primary")].some((b) => b.innerText === "创建" && !b.disabled)`)
		e.must(e.p.Press(kb.Tab, kb.Tab, kb.Tab, kb.Enter))
		e.until("the command", `document.querySelector("dialog[open]")?.innerText.includes("afterbell keys create books --role viewer --expires 90d")`)
		e.confirm("创建")
		e.until("the key", `document.querySelector("[data-secret] code")?.innerText.startsWith("abk_")`)
		made := e.text("[data-secret] code")
		e.picture("keys")
		if got := e.status(made); got != http.StatusOK {
			e.t.Errorf("the new key gets %d", got)
		}
		e.press("我已保存，不再显示")
		e.until("the key gone", `!document.querySelector("[data-secret]")`)
		e.answers("3 个密钥有效")
		e.must(e.p.Eval(`[...document.querySelectorAll("tr[data-key]")].find((r) => r.innerText.includes("books")).querySelector("button").click()`, nil))
		e.confirm("吊销")
		e.answers("2 个密钥有效")
		if got := e.status(made); got != http.StatusUnauthorized {
			e.t.Errorf("the revoked key gets %d", got)
		}
		e.open("audit")
		e.answers("owner 吊销密钥")
		var html string
		e.must(e.p.Eval(`document.documentElement.outerHTML`, &html))
		if strings.Contains(html, made) {
			e.t.Error("the audit trail shows a key")
		}
		e.must(e.p.Eval(`(() => { const s = document.querySelector("select[name=method]"); s.value = "ScheduleService.ResumeSchedule"; s.dispatchEvent(new Event("change", { bubbles: true })); })()`, nil))
		e.until("the change of the operator alone", `document.querySelectorAll("tr[data-entry]").length === 1 && document.querySelector("tr[data-entry]").innerText.includes("desk")`)
		e.must(e.p.Eval(`document.querySelector("tr[data-entry] button").focus()`, nil))
		e.must(e.p.Press(kb.Enter))
		e.until("what it was before and after", `[...document.querySelectorAll("[data-detail] tr")].some((r) => r.innerText.includes("paused") && r.querySelector(".minus")?.innerText === "true")`)
		e.picture("audit")
		e.must(e.p.Eval(`(() => { const i = document.querySelector("input[name=actor]"); i.value = "nobody"; i.dispatchEvent(new Event("input", { bubbles: true })); i.form.requestSubmit(); })()`, nil))
		e.answers("没有符合条件的更改")
	})
}

// status is how the API answers a key.
func (e *env) status(key string) int {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, "http://"+e.Config.HTTPAddr+"/v1/pools", http.NoBody)
	e.must(err)
	req.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(req)
	e.must(err)
	e.must(answer.Body.Close())
	return answer.StatusCode
}

// inChinese fails where the page has English that is neither code nor a name: a sentence
// without the Chinese of it before it, or a word. Commands and other code are English in
// both languages.
func (e *env) inChinese(page string) {
	e.t.Helper()
	if strings.HasPrefix(page, "runs/") || strings.HasPrefix(page, "schedule/") {
		e.until("the chain", `document.querySelectorAll("ol.chain li").length > 2`)
	}
	var texts []string
	e.must(e.p.Eval(`(() => {
		const said = (x) => x.lang === "en" && /\p{Script=Han}/u.test((x.previousElementSibling ?? x.previousSibling)?.textContent ?? "");
		const texts = [], walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
		while (walk.nextNode()) {
			const n = walk.currentNode, x = n.parentElement;
			if (!x.closest("code, pre, .command, a.mono, textarea") && !(x.closest("[lang=en]") && said(x.closest("[lang=en]")))) texts.push(n.data);
		}
		for (const x of document.querySelectorAll("main :is([aria-label], [title], [placeholder]):not(.command *, a.mono)")) texts.push(x.ariaLabel ?? "", x.title, x.placeholder ?? "");
		return texts;
	})()`, &texts))
	for _, text := range texts {
		for _, word := range latin.FindAllString(names.ReplaceAllString(text, ""), -1) {
			e.t.Errorf("page %q in Chinese has the word %q in %q", page, word, text)
		}
	}
}

// inPlural fails where the page in English counts one of something in the plural.
func (e *env) inPlural(page string) {
	e.t.Helper()
	var text string
	e.must(e.p.Eval(`document.querySelector("main").innerText`, &text))
	for _, found := range ones.FindAllString(text, -1) {
		e.t.Errorf("page %q in English says %q", page, found)
	}
}

var (
	latin = regexp.MustCompile(`[A-Za-z]{2,}`)
	// names are what Chinese does not translate: identifiers, formats, products, units and
	// what this test has named.
	names = regexp.MustCompile(strings.Join([]string{
		`https://[!-~]+`,
		`(?:接口|领域|启用) ?[a-z._]+`,
		`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]+`, `(?:\d{6})?\.(?:SH|SZ|BJ)\b`, `--[a-z-]+(?:=[a-z]+)?`, `\b[a-z]+(?:[._][a-z]+)+\b`, `^[A-Z]+(?:_[A-Z]+)+：`,
		`^ ?tushare ?$`,
		`\d [kMGT]?B\b`, `\blinux/[a-z0-9]+`, `\bHH:MM\b`, `^(?:parquet|arrow|csv|ndjson|notebooks|desk)$`,
		`\b(?:ETF|Go|IP|REST|OpenAPI|Shift|Telegram|Slack|Webhook|English|loopback|host|TTM|gzmt)\b`,
	}, "|"))
	// ones is one of something in the plural: "1 rows", and not "11 rows" or "0.1 s".
	ones = regexp.MustCompile(`(?:^|[^\d.,/:-])1 (?:[a-z]+ )?[a-z]{2,}s\b`)
)

func isHan(r rune) bool { return r >= 0x4e00 && r <= 0x9fff }

// is reports whether an expression is true in the page.
func (e *env) is(expression string) (yes bool) {
	e.t.Helper()
	e.must(e.p.Eval("!!("+expression+")", &yes))
	return yes
}

// tabs goes through a page by the tab key. It fails where something that can be operated
// is not reached, or does not show that it has the focus.
func (e *env) tabs(page string) {
	e.t.Helper()
	e.must(e.p.Eval(`(() => {
		window.reached = new Set();
		window.unmarked = [];
		window.operable = () => [...document.querySelectorAll("a[href], button, input, select, summary, textarea, [tabindex='0']")].filter((x) => !x.disabled && x.checkVisibility());
		window.listening ??= (addEventListener("focusin", ({ target: x }) => {
			const s = getComputedStyle(x);
			if (!reached.has(x) && (s.outlineStyle === "none" || parseFloat(s.outlineWidth) === 0)) unmarked.push(x.outerHTML.slice(0, 120));
			reached.add(x);
		}), true);
		document.querySelector(".skip").focus();
	})()`, nil))
	left := []int{1, 1}                                             // not reached yet, and all of them
	for tabs := 0; left[0] > 0 && tabs < 3*left[1]+48; tabs += 16 { // a field of a date is some stops
		e.must(e.p.Press(slices.Repeat([]string{kb.Tab}, 16)...))
		e.must(e.p.Eval(`[operable().filter((x) => !reached.has(x)).length, operable().length]`, &left))
	}
	var missed, unmarked []string
	e.must(e.p.Eval(`operable().filter((x) => !reached.has(x) && x.isConnected).map((x) => x.outerHTML.slice(0, 120))`, &missed))
	e.must(e.p.Eval(`unmarked`, &unmarked))
	if len(missed) > 0 {
		e.t.Errorf("page %q: the tab key does not reach %q", page, missed)
	}
	if len(unmarked) > 0 {
		e.t.Errorf("page %q: these do not show that they have the focus: %q", page, unmarked)
	}
}

// dialogs opens each dialog of a page by keyboard. It fails where a dialog does not take
// the focus, does not close on Escape, or does not give the focus back.
func (e *env) dialogs(page string) {
	e.t.Helper()
	var n int
	e.must(e.p.Eval(`(window.asking = () => [...document.querySelectorAll("main [data-asks], header button[aria-keyshortcuts]")].filter((x) => !x.disabled && x.checkVisibility()), asking().length)`, &n))
	for i := range n {
		e.must(e.p.Eval(fmt.Sprintf(`(window.asker = asking()[%d], asker.focus())`, i), nil))
		e.must(e.p.Press(kb.Enter))
		e.until(fmt.Sprintf("dialog %d of page %q with the focus", i, page), `document.querySelector("dialog[open]")?.contains(document.activeElement)`)
		e.must(e.p.Press(kb.Escape))
		e.until(fmt.Sprintf("the end of dialog %d of page %q, and the focus where it was", i, page), `!document.querySelector("dialog[open]") && document.activeElement === asker`)
	}
}

// all are the addresses of all pages, a run's and a slot's own among them.
func (e *env) all(symbol, runID string) (list []string) {
	for _, p := range pages {
		if strings.Contains(p, "%s") {
			p = fmt.Sprintf(p, symbol)
		}
		list = append(list, p)
	}
	return append(list, "runs/"+runID, "schedule/"+e.tomorrow()+".universe")
}

// tomorrow is a day that a slot can be explained for.
func (e *env) tomorrow() string {
	zone, err := time.LoadLocation("Asia/Shanghai")
	e.must(err)
	return time.Now().In(zone).AddDate(0, 0, 1).Format(time.DateOnly)
}

// walk is the page of dev-docs that somebody follows who has never seen the project.
type walk struct {
	// steps are the labels that each step in the browser names, 「as here」.
	steps [][]string
	// commands are those of the terminal.
	commands []command
}

type command struct {
	command string
	code    int
	says    string
}

func (e *env) walk() (w walk) {
	e.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "dev-docs", "active", "market-ingest-persistence", "06-blocked-run.md"))
	e.must(err)
	browser, terminal, _ := strings.Cut(string(text), "## In a terminal")
	for _, step := range regexp.MustCompile(`(?m)^\d\. `).Split(browser, -1)[1:] {
		var labels []string
		for _, m := range regexp.MustCompile("「(.+?)」").FindAllStringSubmatch(step, -1) {
			labels = append(labels, m[1])
		}
		w.steps = append(w.steps, labels)
	}
	for _, m := range regexp.MustCompile(`(?m)^(bin/afterbell .+?) +# (\d) ?(.*)$`).FindAllStringSubmatch(terminal, -1) {
		code, err := strconv.Atoi(m[2])
		e.must(err)
		w.commands = append(w.commands, command{m[1], code, m[3]})
	}
	if len(w.steps) != 6 || len(w.commands) != 6 {
		e.t.Fatalf("the walk has %d steps and %d commands", len(w.steps), len(w.commands))
	}
	return w
}

// shows looks for labels on the page, its navigation included.
func (e *env) shows(labels []string) {
	e.t.Helper()
	if len(labels) == 0 {
		e.t.Error("the step names no label")
	}
	for _, l := range labels {
		e.until("the label "+l, fmt.Sprintf(`document.body.innerText.includes(%q)`, l))
	}
}

// listed are some stocks that trade at the simulator.
func (e *env) listed(n int) (symbols []string) {
	e.t.Helper()
	table, err := e.sim.Rows("stock_basic", map[string]string{"list_status": "L"}, "ts_code")
	e.must(err)
	for _, row := range table.Rows[:n] {
		symbols = append(symbols, row[0].(string))
	}
	return symbols
}

// ledger is the message that the ledger has of a run that was stopped, by SQL.
func (e *env) ledger(runID string) (message string) {
	e.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(e.Config.Data, "market-cache.sqlite")+"?mode=ro&_busy_timeout=5000")
	e.must(err)
	defer db.Close()
	e.must(db.QueryRow(`select error_message from ingest_runs where id = ? and status = 'failed'`, runID).Scan(&message))
	return message
}

type coverage struct{ DatasetID, TradeDate, Verdict string }

func (e *env) coverage(pool string) []coverage {
	e.t.Helper()
	return rest[struct{ Coverages []coverage }](e, "GET", "/v1/pools/"+pool+"/coverage", "").Coverages
}

// days are the open days of a dataset, oldest first.
func (e *env) days(pool, dataset string) (days []string) {
	e.t.Helper()
	for _, c := range e.coverage(pool) {
		if c.DatasetID == dataset {
			days = append(days, c.TradeDate)
		}
	}
	return days
}

// absent is a symbol that has rows before and after a day on which it has none.
func (e *env) absent(days []string) string {
	e.t.Helper()
	missing := map[string][]string{}
	for _, day := range days {
		for _, a := range rest[struct{ AbsentSymbols []struct{ Symbol string } }](e, "GET", "/v1/pools/universe/absent-symbols?dataset_id=daily&trade_date="+day, "").AbsentSymbols {
			missing[a.Symbol] = append(missing[a.Symbol], day)
		}
	}
	for symbol, lacks := range missing {
		if len(lacks) < 4 && lacks[0] > days[0] && lacks[len(lacks)-1] < days[len(days)-1] {
			return symbol
		}
	}
	e.t.Fatal("no symbol has a hole")
	return ""
}

// cell clicks a day of the heat map.
func (e *env) cell(dataset, day string, shift bool) {
	e.t.Helper()
	var at struct{ X, Y float64 }
	e.must(e.p.Eval(fmt.Sprintf(`(() => {
		const svg = document.querySelector("[data-dataset=%s] svg[data-year='%s']");
		svg.scrollIntoView({ block: "center" });
		const first = Date.parse("%[2]s-01-01T00:00:00Z"), n = (Date.parse("%[3]sT00:00:00Z") - first) / 86400e3 + (new Date(first).getUTCDay() + 6) %% 7;
		const box = svg.getBoundingClientRect();
		return { x: box.left + 32 + (Math.floor(n / 7) - svg.dataset.first) * 12 + 5, y: box.top + 14 + (n %% 7) * 12 + 5 };
	})()`, dataset, day[:4], day), &at))
	e.must(e.p.ClickAt(at.X, at.Y, shift))
}

func (e *env) attribute(selector, name string) (value string) {
	e.t.Helper()
	e.must(e.p.Eval(fmt.Sprintf("document.querySelector(%q).dataset[%q]", selector, name), &value))
	return value
}

// untilRun looks at a run until it is as wanted.
func (e *env) untilRun(id string, want func(run) bool) {
	e.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if want(rest[struct{ Run run }](e, "GET", "/v1/runs/"+id, "").Run) {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("run %s did not come so far", id)
		}
	}
}

// axe is the source of axe-core, which `make test` installs.
func (e *env) axe() string {
	e.t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "..", "..", "web", "node_modules", "axe-core", "axe.min.js"))
	if err != nil && os.Getenv("CI") == "" {
		e.t.Skipf("SKIPPED: axe-core is not installed; make console installs it: %v", err)
	}
	e.must(err)
	return string(source)
}

// violations are what axe finds serious on the page as it is.
func (e *env) violations(axe string) (all []string) {
	e.t.Helper()
	e.must(e.p.Eval("window.axe ? 0 : (() => {"+axe+"\n})()", nil))
	var found []struct {
		ID, Impact, Help string
		Nodes            []struct{ HTML, FailureSummary string }
	}
	e.must(e.p.Eval(`axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) => ({ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 3).map((n) => ({ html: n.html.slice(0, 200), failureSummary: n.failureSummary })) })))`, &found))
	for _, v := range found {
		text, err := json.Marshal(v.Nodes)
		e.must(err)
		all = append(all, fmt.Sprintf("%s (%s): %s", v.ID, v.Help, text))
	}
	return all
}

// agrees looks whether the first page judges both pools as the Go client does, with
// want for universe.
func (e *env) agrees(want string) {
	e.t.Helper()
	for _, pool := range []string{"targets", "universe"} {
		judged := e.judged(pool)
		if pool == "universe" && judged != want {
			e.t.Errorf("the client judges universe as %s, want %s", judged, want)
		}
		e.until("the verdict of "+pool+": "+judged, fmt.Sprintf(`document.querySelector("[data-pool=%s]").dataset.verdict === %q`, pool, judged))
	}
}

// judged is the verdict that the Go client gives of a pool's evening.
func (e *env) judged(pool string) string {
	e.t.Helper()
	out, err := exec.Command(filepath.Join(bin, "afterbell"), "status", "--pool", pool, "--output", "json", "--orchestrator", e.Config.GRPCAddr).Output()
	var doc struct{ Pools []struct{ Verdict string } }
	if json.Unmarshal(out, &doc) != nil || len(doc.Pools) != 1 {
		e.t.Fatalf("afterbell status: %v: %s", err, out)
	}
	return doc.Pools[0].Verdict
}
