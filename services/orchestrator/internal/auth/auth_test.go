package auth

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
)

var now = time.Date(2026, 3, 2, 19, 30, 0, 0, time.UTC)

func TestRolesInclude(t *testing.T) {
	order := []Role{Viewer, Operator, Admin}
	for i, has := range order {
		for j, asked := range order {
			if has.Allows(asked) != (i >= j) {
				t.Errorf("%s allows %s: %v", has, asked, has.Allows(asked))
			}
		}
		if has.Allows("") || has.Allows("service") || Role("").Allows(has) {
			t.Errorf("%s: a role that is none counts", has)
		}
	}
	faulttest.Produces(t, Caller{Role: Viewer}.May(Admin, "KeyService.ListKeys"), fault.RoleRequired)
}

func TestKeyIsItsHash(t *testing.T) {
	k, secret, err := NewKey("desk", Operator, time.Hour, Host, now)
	if err != nil {
		t.Fatal(err)
	}
	id, hash, ok := SplitKey(secret)
	if !ok || id != k.ID || !k.Matches(hash) || len(secret) != 67 || strings.Contains(secret, "=") {
		t.Fatalf("%q: %v %s", secret, ok, id)
	}
	other, text, err := NewKey("desk", Operator, 0, Host, now)
	if err != nil || other.ID == k.ID || text == secret || other.Matches(hash) || !other.ExpiresAt.IsZero() {
		t.Errorf("two keys are alike: %v", err)
	}
	for _, wrong := range []string{"", "abk_", secret[1:], secret + "a", secret[:len(secret)-1], strings.ToUpper(secret), "Bearer " + secret, strings.Replace(secret[4:], "_", "-", 1)} {
		if id, h, ok := SplitKey(wrong); ok && id == k.ID && k.Matches(h) {
			t.Errorf("%q is taken", wrong)
		}
	}
	for at, want := range map[time.Duration]bool{0: true, time.Hour - 1: true, time.Hour: false} {
		if k.Active(now.Add(at)) != want {
			t.Errorf("after %s: active %v", at, !want)
		}
	}
	k.RevokedAt = now
	faulttest.Produces(t, k.Check(now), fault.Unauthenticated)
}

func TestWrongKeysAreNotMade(t *testing.T) {
	for name, make := range map[string]struct {
		name string
		role Role
		ttl  time.Duration
	}{
		"no name": {"", Viewer, 0}, "long name": {strings.Repeat("字", 101), Viewer, 0}, "control": {"a\nb", Viewer, 0}, "space": {" a", Viewer, 0},
		"taken": {Loopback, Viewer, 0}, "no role": {"a", "", 0}, "service": {"a", "service", 0}, "short": {"a", Viewer, time.Second}, "long": {"a", Viewer, MaxTTL + 1},
		"negative": {"a", Viewer, -time.Hour}, "not text": {"a\xff", Viewer, 0},
	} {
		if _, secret, err := NewKey(make.name, make.role, make.ttl, Host, now); !fault.Is(err, fault.InvalidArgument) || secret != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSessionEndsWithItsKey(t *testing.T) {
	k, _, err := NewKey("desk", Viewer, time.Hour, Host, now)
	if err != nil {
		t.Fatal(err)
	}
	s, cookie := NewSession(k, "10.0.0.9", now)
	if !s.ExpiresAt.Equal(k.ExpiresAt) || s.Hash != HashCookie(cookie) || len(cookie) != 52 {
		t.Errorf("%+v", s)
	}
	k.ExpiresAt = time.Time{}
	if s, _ = NewSession(k, "", now); !s.ExpiresAt.Equal(now.Add(SessionTTL)) {
		t.Errorf("%+v", s)
	}
	if err := CheckCSRF(cookie, CSRF(cookie)); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"", cookie, CSRF(cookie + "x")} {
		if err := CheckCSRF(cookie, wrong); !fault.Is(err, fault.RoleRequired) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestWrongKeysAreCountedByAddress(t *testing.T) {
	var f Failures
	for i := range 2 * MaxFailures {
		err := f.Note("10.0.0.1", now.Add(time.Duration(i)*time.Millisecond))
		if (err != nil) != (i >= MaxFailures) {
			t.Fatalf("wrong key %d: %v", i+1, err)
		}
		if told, ok := fault.As(err); ok && !told.RetryAt.Equal(now.Add(time.Minute)) {
			t.Fatalf("try again at %s", told.RetryAt)
		}
	}
	if err := f.Note("10.0.0.2", now); err != nil {
		t.Errorf("another address: %v", err)
	}
	if err := f.Note("10.0.0.1", now.Add(time.Minute)); err != nil {
		t.Errorf("a minute later: %v", err)
	}
	for i := range 3 * maxAddresses {
		_ = f.Note("h"+strings.Repeat("x", i%7)+time.Duration(i).String(), now)
	}
	if len(f.byAddress) > maxAddresses+1 {
		t.Errorf("%d addresses are remembered", len(f.byAddress))
	}
	if told := f.Forget(now.Add(time.Minute)); told["10.0.0.2"] != 1 || told["10.0.0.1"] != 0 {
		t.Errorf("reported %d and %d", told["10.0.0.2"], told["10.0.0.1"])
	}
	if len(f.byAddress) != 1 {
		t.Errorf("%d addresses stay", len(f.byAddress))
	}
}

func TestAuditTellsNoSecret(t *testing.T) {
	_, secret, err := NewKey("desk", Viewer, 0, Host, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{secret, map[string]string{"note": "use " + secret}, []string{secret}} {
		if told := AuditText(v); strings.Contains(told, secret[20:]) || !strings.Contains(told, "abk_…") {
			t.Errorf("reported %s", told)
		}
	}
	if told := AuditText(strings.Repeat("字", MaxAudit)); len(told) > MaxAudit || !strings.HasSuffix(told, "字…") {
		t.Errorf("%d bytes", len(told))
	}
	if AuditText(nil) != "" {
		t.Error("nothing is reported as something")
	}
	for name, want := range map[string]bool{"token": true, "secret": true, "webhook_secret": true, "api_key": true, "key": true, "page_token": false, "key_id": false, "token_id": false, "note": false} {
		if Secret(name) != want {
			t.Errorf("Secret(%q) = %v", name, !want)
		}
	}
}

func TestChangeIsStoredOnce(t *testing.T) {
	c := &Change{}
	from := WithChange(context.Background(), c)
	if ChangeOf(Carry(context.Background(), from)) != c || ChangeOf(context.Background()) != nil {
		t.Error("the change is lost on the way")
	}
	c.Done()
	if ChangeOf(from) != nil || ChangeOf(Carry(context.Background(), from)) != nil {
		t.Error("the change would be stored twice")
	}
}
