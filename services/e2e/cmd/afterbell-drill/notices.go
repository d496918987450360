package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// noticeFaults kill the orchestrator between the end of an evening and its notice.
func noticeFaults() []drill {
	const once = "the evening has one notice, delivered once"
	return []drill{
		// Each point is reached first at the start of the evening, which only heartbeats need.
		{name: "orchestrator-kill-telling", fault: "kill -9 of the orchestrator after the evening's runs, before the notice's COMMIT", expect: once,
			do: func(r *harness) { diesTelling(r, "notice.telling:2") }},
		{name: "orchestrator-kill-told", fault: "kill -9 of the orchestrator after the notice's COMMIT, before it is sent", expect: once,
			do: func(r *harness) { diesTelling(r, "notice.told:2") }},
	}
}

// platform receives webhooks.
type platform struct {
	mu    sync.Mutex
	texts []string
}

// ServeHTTP implements http.Handler.
func (p *platform) ServeHTTP(_ http.ResponseWriter, req *http.Request) {
	var body struct{ Text string }
	if json.NewDecoder(req.Body).Decode(&body) == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.texts = append(p.texts, body.Text)
	}
}

func (p *platform) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.texts...)
}

func diesTelling(r *harness, point string) {
	p := &platform{}
	server := httptest.NewServer(p)
	defer server.Close()
	r.installed(false)
	r.must(r.clock.Set(evening(19, 20, 0)))
	r.startOrchestrator("")
	if r.err != nil {
		return
	}
	_, err := orchestratorv1.NewNoticeServiceClient(r.stack.Conn).CreateChannel(r.ctx,
		&orchestratorv1.CreateChannelRequest{ChannelId: "desk", Kind: orchestratorv1.Channel_KIND_WEBHOOK, Url: server.URL})
	r.must(err)
	r.term(r.stack.Orchestrator, stopGrace)
	r.must(r.clock.Set(evening(19, 29, 57)))
	r.startOrchestrator(point)
	r.died(r.stack.Orchestrator, 2*time.Minute)
	if n := len(p.taken()); n > 0 {
		r.failf("%d notices were sent before the kill", n)
	}
	r.free()
	r.startOrchestrator("")
	r.until("the notice is not delivered", time.Minute, func() bool { return len(p.taken()) > 0 })
	r.settled(2 * time.Minute)
	r.sleep(12 * time.Second) // it checks again within this time
	if got := p.taken(); r.err == nil && (len(got) != 1 || !strings.Contains(got[0], "of "+today+" is complete")) {
		r.failf("the channel has %q", got)
	}
	r.once(today, false)
}
