package app

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/internal/platformtest"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
)

// The channels over REST, from the first to the last call: what is wrong is named by its
// field, what was set is shown by a fingerprint, a test says what the platform said, and
// nothing secret is in any answer or in the log. The ledger is for its user only.
func TestChannels(t *testing.T) {
	r := start(t)
	p := platformtest.Start(t, nil)
	var answers strings.Builder
	call := func(status int, method, path, body string, parts ...string) string {
		t.Helper()
		resp, text := r.get(t, method, path, body)
		answers.WriteString(text)
		if resp.StatusCode != status {
			t.Errorf("%s %s answers %d, want %d: %s", method, path, resp.StatusCode, status, text)
		}
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s %s does not say %q: %s", method, path, part, text)
			}
		}
		return text
	}
	hook := p.URL + "/robot/send?access_token=" + platformtest.Token
	create := `{"channelId":"desk","kind":"KIND_DINGTALK","language":"LANGUAGE_ZH","url":"` + hook + `","secret":"` + platformtest.Secret + `"}`

	call(200, "GET", "/v1/channels", "", `"channels":[]`)
	call(400, "POST", "/v1/channels", `{"kind":"KIND_DINGTALK","url":"ftp://x/`+platformtest.Token+`","smtpPort":7}`, "channel_id", "url: is not an address", "smtp_port: is not used by dingtalk")
	call(400, "POST", "/v1/channels", `{"channelId":"a"}`, "kind: ", "allowed are webhook, dingtalk")
	call(400, "POST", "/v1/channels", `{"channelId":"a","kind":"KIND_SLACK","url":["`+hook+`"]}`, "url: what was sent is not a value of type string")
	call(200, "POST", "/v1/channels", strings.Replace(create, "{", `{"validateOnly":true,`, 1), `"channelId":"desk"`)
	call(200, "GET", "/v1/channels", "", `"channels":[]`)
	before, err := os.Stat(filepath.Join(r.dir, ledger.FileName))
	if err != nil {
		t.Fatal(err)
	}
	made := call(200, "POST", "/v1/channels", create, `"host":"`+strings.TrimPrefix(p.URL, "http://")+`"`, `"enabled":true`, `"language":"LANGUAGE_ZH"`)
	for _, end := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(filepath.Join(r.dir, ledger.FileName+end))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("the ledger%s has mode %v (%v before), %v", end, st.Mode(), before.Mode(), err)
		}
	}
	call(400, "POST", "/v1/channels", create, "channel_id: ", "exists")
	call(200, "PATCH", "/v1/channels/desk", `{"secret":"`+platformtest.Secret+`","validateOnly":true}`, `"changedFields":[]`)
	call(200, "PATCH", "/v1/channels/desk", `{"secret":"other-`+platformtest.Secret+`"}`, `"changedFields":["secret"]`)
	call(404, "PATCH", "/v1/channels/nobody", `{"enabled":false}`, "NOT_FOUND")
	call(400, "PATCH", "/v1/channels/desk", `{}`, "body: changes nothing; set at least one of kind, enabled, language, url")
	_, etag, _ := strings.Cut(made, `"etag":"`)
	etag, _, _ = strings.Cut(etag, `"`)
	call(409, "PATCH", "/v1/channels/desk", `{"enabled":false,"etag":"`+etag+`"}`, "ETAG_MISMATCH") // its secret is another one since
	_, etag, _ = strings.Cut(call(200, "GET", "/v1/channels", ""), `"etag":"`)
	etag, _, _ = strings.Cut(etag, `"`)
	call(200, "PATCH", "/v1/channels/desk", `{"language":"LANGUAGE_ZH","etag":"`+etag+`"}`, `"changedFields":[]`, `"etag":"`+etag+`"`)
	call(400, "PATCH", "/v1/channels/desk", `{"kind":"KIND_MAIL"}`, "url: is not used by mail", "smtp_host")
	call(200, "POST", "/v1/channels/desk:test", `{}`, `"delivered":false`, "errcode 310000")
	again := call(200, "PATCH", "/v1/channels/desk", `{"secret":"`+platformtest.Secret+`"}`, `"changedFields":["secret"]`)
	call(200, "POST", "/v1/channels/desk:test", `{}`, `"delivered":true`)
	if got := p.Texts("dingtalk"); strings.Count(strings.Join(got, "\n"), "这是测试消息") != 1 { // after the slot's time, there is one of the evening, too
		t.Errorf("the platform has %q", got)
	}
	call(404, "POST", "/v1/channels/nobody:test", `{}`, "NOT_FOUND")
	call(200, "GET", "/v1/notices", "", `"kind":"KIND_TEST","date":""`, "这是测试消息")
	call(200, "GET", "/v1/deliveries?channelId=desk&state=STATE_SENT", "", `"attemptCount":1`, `"error":""`)
	call(200, "GET", "/v1/deliveries?channelId=desk&state=STATE_GIVEN_UP", "", "errcode 310000")
	call(200, "GET", "/v1/channels", "", `"givenUpCount":0`)
	call(400, "GET", "/v1/deliveries?pageSize=9999", "", "page_size")
	call(400, "GET", "/v1/notices?pageToken=abc", "", "page_token")

	fingerprint := func(text string) string {
		var doc struct {
			Channel struct{ URLFingerprint, SecretFingerprint string }
		}
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		return doc.Channel.URLFingerprint + " " + doc.Channel.SecretFingerprint
	}
	if a, b := fingerprint(made), fingerprint(again); a != b || len(a) != 33 {
		t.Errorf("the fingerprints of the same secrets are %q and %q", a, b)
	}
	call(200, "PATCH", "/v1/settings", `{"lateAt":"21:30"}`, `"lateAt":"21:30"`)
	call(400, "PATCH", "/v1/settings", `{"lateAt":"late"}`, "late_at")
	call(200, "PATCH", "/v1/settings", `{"lateAt":""}`, `"lateAt":""`)
	call(200, "DELETE", "/v1/channels/desk", "")
	call(404, "DELETE", "/v1/channels/desk", "", "NOT_FOUND")

	// The audit trail has who changed which fields, without secrets.
	call(200, "GET", "/v1/audit", "", "NoticeService.DeleteChannel", "NoticeService.CreateChannel", `\"kind\":\"dingtalk\"`)

	for where, text := range map[string]string{"an answer": answers.String(), "the log": r.log.String()} {
		for _, secret := range []string{platformtest.Token, platformtest.Secret} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q", where, secret)
			}
		}
	}
}

// Where the key of the channels' secrets is lost, each concerned channel says so, sends
// nothing, and takes its secrets again.
func TestChannelsWhoseKeyIsLost(t *testing.T) {
	p := platformtest.Start(t, nil)
	_, addr := startWorker(t)
	dir := t.TempDir()
	quiet(t, dir)
	r := startIn(t, dir, addr)
	call := func(status int, method, path, body string, parts ...string) {
		t.Helper()
		resp, text := r.get(t, method, path, body)
		if resp.StatusCode != status {
			t.Errorf("%s %s answers %d, want %d: %s", method, path, resp.StatusCode, status, text)
		}
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s %s does not say %q: %s", method, path, part, text)
			}
		}
	}
	hook := p.URL + "/robot/send?access_token=" + platformtest.Token
	call(200, "POST", "/v1/channels", `{"channelId":"desk","kind":"KIND_DINGTALK","url":"`+hook+`","secret":"`+platformtest.Secret+`"}`)
	call(200, "POST", "/v1/channels/desk:test", `{}`, `"delivered":true`)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, ledger.KeyFile)); err != nil {
		t.Fatal(err)
	}
	r = startIn(t, dir, addr)
	call(200, "GET", "/v1/channels", "", `"channelId":"desk"`, "the url and the secret of the channel cannot be read", "afterbell notify set desk")
	call(200, "POST", "/v1/channels/desk:test", `{}`, `"delivered":false`, "cannot be read")
	call(400, "PATCH", "/v1/channels/desk", `{"enabled":false}`, "url: cannot be read any more", "secret: cannot be read any more")
	call(400, "PATCH", "/v1/channels/desk", `{"url":"`+hook+`"}`, "secret: cannot be read any more")
	call(200, "PATCH", "/v1/channels/desk", `{"url":"`+hook+`","secret":"`+platformtest.Secret+`"}`, `"changedFields":["url","secret"]`)
	call(200, "POST", "/v1/channels/desk:test", `{}`, `"delivered":true`)
	if log := r.log.String(); strings.Count(log, "their key is lost") != 1 {
		t.Errorf("logged %s", log)
	}
}
