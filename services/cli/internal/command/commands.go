package command

import (
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// call finds one call of the REST API in a sentence, as the orchestrator writes it.
var restCall = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`curl(?: -N)?(?: -X ([A-Z]+))? ("?)(?:https?://)?[\w.:\[\]-]+(/v1/[^\s"']*)"?(?: -d '([^']*)')?`)
})

// bareCall finds a call of the REST API that is named without a way to make it.
var bareCall = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\b(GET|POST) (/v1/[^\s"',;]*[^\s"',;.])`) })

// commands replaces the REST calls in a text of the orchestrator by the commands that do
// the same. A call without a command stays.
func (a *app) commands(text string) string {
	if strings.Contains(text, " /v1/") {
		text = bareCall().ReplaceAllStringFunc(text, func(found string) string {
			m := bareCall().FindStringSubmatch(found)
			return cmp.Or(commandFor(m[1], m[2], ""), found)
		})
	}
	if !strings.Contains(text, "curl") {
		return text
	}
	return restCall().ReplaceAllStringFunc(text, func(found string) string {
		m := restCall().FindStringSubmatch(found)
		if own := commandFor(cmp.Or(m[1], "GET"), m[3], m[4]); own != "" {
			return own
		}
		return found
	})
}

// commandFor is the command line that makes a REST call, or empty.
func commandFor(method, target, body string) string {
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	fields := map[string]any{}
	if body != "" && json.Unmarshal([]byte(body), &fields) != nil {
		return ""
	}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/v1/"), "/")
	last, verb, _ := strings.Cut(parts[len(parts)-1], ":")
	parts[len(parts)-1] = last
	at := func(i int) string {
		if i < len(parts) {
			return parts[i]
		}
		return ""
	}
	switch key := method + " " + parts[0]; key {
	case "POST preflights":
		return "afterbell preflight"
	case "GET probes", "GET domains":
		return "afterbell domains"
	case "GET targets":
		return "afterbell targets list"
	case "GET instruments":
		if q := u.Query().Get("query"); q != "" {
			return "afterbell targets search " + q
		}
	case "PUT targets":
		return setTargets(fields)
	case "POST targets":
		if verb == "add" && at(1) == "sets" {
			line := "afterbell targets add " + strings.Join(strs(fields["symbols"]), " ")
			if at(2) != "default" {
				line += " --set " + at(2)
			}
			return line
		}
	case "GET slots":
		if id := at(1); id != "" {
			return "afterbell explain " + id
		}
		return "afterbell explain"
	case "GET schedule":
		return "afterbell schedule show"
	case "POST schedule":
		if verb == "resume" {
			return "afterbell schedule resume" + flagOf(fields, "catch_up", "catch-up", "CATCH_UP_")
		}
		return "afterbell schedule " + verb
	case "PATCH schedule", "PATCH settings":
		return "afterbell " + parts[0] + " set" + allFlags(fields)
	case "GET revisions":
		q := u.Query()
		if day := q.Get("trade_date"); day != "" {
			q.Set("start_date", day)
			q.Set("end_date", day)
			q.Del("trade_date")
		}
		return "afterbell revisions " + cmp.Or(strings.ToLower(strings.TrimPrefix(q.Get("pool"), "POOL_")), "universe") + query(q)
	case "GET data":
		if at(2) == "condition" {
			return "afterbell condition " + at(1) + query(u.Query())
		}
	case "GET limits":
		return "afterbell limits list"
	case "POST limits":
		if verb == "forget" {
			return strings.TrimSpace("afterbell limits forget " + strings.Join(strs(fields["provider_apis"]), " "))
		}
	case "GET channels":
		return "afterbell notify list"
	case "POST channels":
		if verb == "test" {
			return "afterbell notify test " + at(1)
		}
	case "GET settings":
		return "afterbell settings show"
	case "PATCH domains", "PATCH modules":
		return switchOf(parts[0], at(1), fields)
	case "GET pools":
		switch {
		case at(2) == "coverage":
			return "afterbell coverage " + at(1) + query(u.Query())
		case at(2) == "absent-symbols":
			return "afterbell absent " + at(1) + query(u.Query())
		case at(1) != "":
			return "afterbell status --pool " + at(1)
		}
		return "afterbell status"
	case "POST pools":
		if verb == "pause" || verb == "resume" {
			return "afterbell " + verb + " " + at(1)
		}
	case "GET runs":
		switch {
		case verb == "watch":
			return "afterbell watch " + at(1)
		case at(2) == "partitions":
			return "afterbell show " + at(1) + " --partitions"
		case at(1) != "":
			return "afterbell show " + at(1)
		}
		return "afterbell runs"
	case "POST runs":
		switch {
		case verb == "verify" || verb == "cancel":
			return "afterbell " + verb + " " + at(1)
		case at(1) == "":
			return startRun(fields)
		}
	}
	return ""
}

// query is the query of a call, as flags.
func query(q url.Values) string {
	line := ""
	for _, p := range []struct{ field, flag string }{
		{"dataset", "dataset"}, {"dataset_id", "dataset"}, {"symbol", "symbol"}, {"trade_date", "date"},
		{"start_date", "from"}, {"end_date", "to"}, {"run_id", "run"},
	} {
		if v := q.Get(p.field); v != "" {
			line += " --" + p.flag + " " + v
		}
	}
	return line
}

func startRun(fields map[string]any) string {
	line := "afterbell run"
	for _, p := range strs(fields["pools"]) {
		line += " " + strings.ToLower(strings.TrimPrefix(p, "POOL_"))
	}
	line += flagOf(fields, "start_date", "from", "") + flagOf(fields, "end_date", "to", "")
	if m := strs(fields["module_ids"]); len(m) > 0 {
		line += " --modules " + strings.Join(m, ",")
	}
	if fields["refetch"] == true {
		line += " --refetch"
	}
	return line + " --watch"
}

func setTargets(fields map[string]any) string {
	inner, _ := fields["targets"].(map[string]any)
	return strings.TrimSpace("afterbell targets set " + strings.Join(strs(inner["symbols"]), " "))
}

func switchOf(kind, id string, fields map[string]any) string {
	if provider, ok := fields["provider_id"].(string); ok && len(fields) == 1 {
		return "afterbell domains set " + id + " --provider " + provider
	}
	switch fields["enabled"] {
	case true:
		return "afterbell " + kind + " enable " + id
	case false:
		return "afterbell " + kind + " disable " + id
	}
	return ""
}

func flagOf(fields map[string]any, field, flag, prefix string) string {
	v, ok := fields[field].(string)
	if !ok || v == "" {
		return ""
	}
	v = strings.TrimPrefix(v, prefix)
	if prefix != "" {
		v = strings.ToLower(v)
	}
	return " --" + flag + " " + v
}

func allFlags(fields map[string]any) string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	line := ""
	for _, name := range names {
		flag := " --" + strings.ReplaceAll(name, "_", "-") + "="
		if list := strs(fields[name]); len(list) > 0 {
			for i, v := range list {
				list[i] = strings.ToLower(strings.TrimPrefix(v, "POOL_"))
			}
			line += flag + strings.Join(list, ",")
			continue
		}
		v, err := json.Marshal(fields[name])
		if err != nil {
			continue
		}
		line += flag + strings.Trim(string(v), `"`)
	}
	return line
}

func strs(v any) (out []string) {
	list, _ := v.([]any)
	for _, e := range list {
		if s, ok := e.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
