package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// maxSkew is how far a clock may be off before runs come early or late.
const maxSkew = 30 * time.Second

// rest looks at the REST port: is it the orchestrator's, and is its ledger open.
func (d *doctor) rest(ctx context.Context) {
	const check = "rest"
	addr := d.HTTPAddr
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	scheme, client := "http://", &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if c, err := d.Access.TLS(); err == nil && c != nil { // the error was reported when the client was created
		scheme, client.Transport = "https://", &http.Transport{DisableKeepAlives: true, TLSClientConfig: c}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+addr+"/readyz", nil)
	if err != nil {
		d.add(check, Wrong, d.T("%q is not an address", addr), d.T("Write host:port: %s", "afterbell doctor --http-addr 127.0.0.1:7780"))
		return
	}
	if d.Access.Key != "" {
		req.Header.Set("Authorization", "Bearer "+d.Access.Key)
	}
	answer, err := client.Do(req)
	if err != nil {
		if listens(ctx, addr) {
			d.add(check, Wrong, d.T("another program listens at %s", addr), d.T("Start the orchestrator with a different port: %s", "bin/orchestrator --http-addr 127.0.0.1:0"))
			return
		}
		if d.reached {
			d.add(check, Notice, d.T("nothing listens at %s", addr), d.T("Pass the orchestrator's REST address, which is in its log in the line with listening: %s", "afterbell doctor --http-addr HOST:PORT"))
		}
		return // the check of the orchestrator has reported that it is unreachable
	}
	defer answer.Body.Close()
	var ready struct {
		Ready  bool   `json:"ready"`
		Ledger string `json:"ledger"`
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err == nil && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden) && bytes.Contains(body, []byte(`"afterbell"`)) {
		return // the check of the orchestrator has reported that the key is not valid
	}
	if err != nil || json.Unmarshal(body, &ready) != nil || ready.Ledger == "" {
		d.add(check, Wrong, d.T("another program listens at %s", addr), d.T("Start the orchestrator with a different port: %s", "bin/orchestrator --http-addr 127.0.0.1:0"))
		return
	}
	if !ready.Ready {
		d.add(check, Wrong, d.T("the ledger cannot be read: %s", ready.Ledger), d.T("Check the disk and the permissions of market-cache.sqlite: %s", "df -h "+shellWord(d.DataDir)))
		return
	}
	d.add(check, Fine, d.T("responds at %s", addr), "")
}

// clock compares this machine's clock with the provider's.
func (d *doctor) clock(ctx context.Context) {
	const check = "clock"
	if d.ProviderURL == "" {
		d.add("provider", Skipped, d.T("its address is not known, because the worker does not respond"), "")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, d.ProviderURL, nil)
	if err != nil {
		d.add(check, Wrong, d.T("%q is not an address", d.ProviderURL), d.T("Correct AFTERBELL_TUSHARE_URL: %s", "afterbell doctor --tushare-url https://api.tushare.pro"))
		return
	}
	begun := d.Now()
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		d.add("provider", Wrong, d.T("%s cannot be reached: %s", d.ProviderURL, d.cause(err)), d.T("Check the network, the proxy and name resolution: %s", "curl -sSI "+d.ProviderURL))
		return
	}
	answer.Body.Close()
	d.add("provider", Fine, d.T("%s can be reached", d.ProviderURL), "")
	theirs, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		d.add(check, Skipped, d.T("the provider's response has no time"), "")
		return
	}
	middle := begun.Add(d.Now().Sub(begun) / 2)
	off := middle.Sub(theirs.Add(500 * time.Millisecond)).Round(time.Second) // a Date has whole seconds
	if off > maxSkew || off < -maxSkew {
		d.add(check, Wrong, d.T("it differs from the provider's by %s", off), d.T("Set the clock, and keep it synchronized with NTP: %s", "sudo timedatectl set-ntp true"))
		return
	}
	d.add(check, Fine, d.T("it agrees with the provider's within %s", maxSkew), "")
}

// cause is an error of the system or the network in the language, without operation and
// address. A rare one stays in English.
func (d *doctor) cause(err error) string {
	var name *net.DNSError
	var timed net.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.T("it does not exist")
	case errors.Is(err, fs.ErrPermission):
		return d.T("access is denied")
	case errors.Is(err, syscall.ECONNREFUSED):
		return d.T("the connection is refused")
	case errors.As(err, &name) && name.IsNotFound:
		return d.T("there is no host %q", name.Name)
	case errors.As(err, &timed) && timed.Timeout():
		return d.T("no response in time")
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// zone reports that the local time zone is not Shanghai, because users read the schedule by
// their own clock.
func (d *doctor) zone() {
	now := d.Now()
	_, here := now.Zone()
	_, there := now.In(d.Zone).Zone()
	name, _ := now.Zone()
	if here == there {
		d.add("time zone", Fine, d.T("local time is Shanghai time"), "")
		return
	}
	hours := strconv.FormatFloat(math.Abs(float64(here-there))/3600, 'f', -1, 64) // half hours are possible
	text := d.T("local time (%s) is %s hours behind Shanghai time; the schedule uses its own time zone", name, hours)
	if here > there {
		text = d.T("local time (%s) is %s hours ahead of Shanghai time; the schedule uses its own time zone", name, hours)
	}
	d.add("time zone", Fine, text, "")
}
