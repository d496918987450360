package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/certs"
	"github.com/afterbell/afterbell/services/orchestrator/internal/config"
)

// browser sends a request to the orchestrator under the name of another host, and reads the
// answer.
func (k *keyed) browser(t *testing.T, client *http.Client, scheme, host, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, scheme+"://"+k.HTTPAddr()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(answer)
}

// The console behind a reverse proxy that ends TLS and passes on the outer name: its cookie
// is for TLS only, its changes pass, and those of pages elsewhere do not.
func TestConsoleBehindAProxy(t *testing.T) {
	const outer, page = "desk.example", "https://desk.example"
	k := startKeyed(t, func(c *config.Config) { c.Web.PublicHosts = []string{outer} })
	resp, answer := k.browser(t, k.http, "http", outer, "POST", "/v1/session", `{"key":"`+k.secrets["admin"]+`"}`, "Origin", page)
	var session struct {
		CSRFToken string `json:"csrfToken"`
	}
	if err := json.Unmarshal([]byte(answer), &session); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("log-in: %d %s", resp.StatusCode, answer)
	}
	set := resp.Header.Get("Set-Cookie")
	for _, want := range []string{"; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/"} {
		if !strings.Contains(set, want) {
			t.Errorf("the cookie %q lacks %q", set, want)
		}
	}
	cookie, _, _ := strings.Cut(set, ";")
	for name, c := range map[string]struct {
		host   string
		code   int
		header []string
	}{
		"a change of the page's":      {outer, 200, []string{"Origin", page, "X-CSRF-Token", session.CSRFToken}},
		"without the token":           {outer, 403, []string{"Origin", page}},
		"with another token":          {outer, 403, []string{"Origin", page, "X-CSRF-Token", session.CSRFToken + "x"}},
		"of a page elsewhere":         {outer, 403, []string{"Origin", "https://evil.example", "X-CSRF-Token", session.CSRFToken}},
		"of a sandboxed page":         {outer, 403, []string{"Origin", "null", "X-CSRF-Token", session.CSRFToken}},
		"of a form elsewhere":         {outer, 403, []string{"Sec-Fetch-Site", "cross-site", "X-CSRF-Token", session.CSRFToken}},
		"under a name that is not it": {"evil.example", 421, []string{"Origin", "https://evil.example", "X-CSRF-Token", session.CSRFToken}},
	} {
		resp, answer := k.browser(t, k.http, "http", c.host, "PATCH", "/v1/settings", `{"retentionDays":30}`, append(c.header, "Cookie", cookie)...)
		if resp.StatusCode != c.code || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v %s", name, resp.StatusCode, resp.Header, answer)
		}
	}
}

// Over TLS the cookie is for TLS only, browsers stay with TLS, and a renewed certificate is
// shown to the next connection; one that cannot be used leaves the previous one in use.
func TestServedOverTLS(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	renew := func() {
		t.Helper()
		if _, err := certs.Make(certs.Request{Dir: dir, Now: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	renew()
	k := startKeyed(t, func(c *config.Config) { c.TLSCert, c.TLSKey = in("orchestrator.crt"), in("orchestrator.key") })
	ca, err := os.ReadFile(in("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	serial := func() string {
		t.Helper()
		resp, answer := k.browser(t, client, "https", "", "GET", "/v1/runs", "", "Authorization", "Bearer "+k.secrets["viewer"])
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") == "" {
			t.Errorf("%d %v %s", resp.StatusCode, resp.Header, answer)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.String()
	}
	resp, answer := k.browser(t, client, "https", "", "POST", "/v1/session", `{"key":"`+k.secrets["admin"]+`"}`)
	if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Set-Cookie"), "; Secure") {
		t.Errorf("log-in: %d %v %s", resp.StatusCode, resp.Header, answer)
	}
	if resp, _ := k.browser(t, k.http, "http", "", "GET", "/v1/runs", "", "Authorization", "Bearer "+k.secrets["viewer"]); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("without TLS: %d", resp.StatusCode)
	}
	first := serial()
	good, err := os.ReadFile(in("orchestrator.crt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []string{"", "nonsense", string(good[:len(good)/2]), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if err := os.WriteFile(in("orchestrator.crt"), []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := serial(); got != first {
			t.Errorf("with a file of %d bytes another certificate is shown", len(broken))
		}
	}
	if !strings.Contains(k.log.String(), "certificates could not be reloaded") {
		t.Error("nothing is said about a file that cannot be used")
	}
	renew()
	if got := serial(); got == first {
		t.Error("the renewed certificate is not shown")
	}
}
