package access

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/logging"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
)

func openStore(t testing.TB) *ledger.Store {
	t.Helper()
	s, err := ledger.Open(context.Background(), ledger.Config{Path: filepath.Join(t.TempDir(), ledger.FileName), Logger: logging.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(t testing.TB, s Store) *Keeper {
	t.Helper()
	k, err := Open(context.Background(), s, logging.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Keys, sessions and last uses are there again after a restart; what has ended is not.
func TestRestart(t *testing.T) {
	store := openStore(t)
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		k := open(t, store)
		key, secret, err := k.Create(ctx, "desk", auth.Operator, 24*time.Hour, auth.Host)
		if err != nil {
			t.Fatal(err)
		}
		_, _, cookie, err := k.Login(ctx, secret, "10.0.0.9")
		if err != nil {
			t.Fatal(err)
		}
		run, stop := context.WithCancel(ctx)
		ended := make(chan error)
		go func() { ended <- k.Run(run) }()
		time.Sleep(noteEvery + time.Second)
		if _, err := k.ByKey(secret, auth.ViaGRPC, "10.0.0.7"); err != nil {
			t.Fatal(err)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		again := open(t, store)
		listed := again.List()
		if len(listed) != 1 || listed[0].UsedFrom != "10.0.0.7" || time.Since(listed[0].UsedAt) > time.Second || listed[0].Hash != key.Hash {
			t.Errorf("listed %+v", listed)
		}
		if c, _, err := again.BySession(cookie, "10.0.0.9"); err != nil || c.Name != "desk" || c.Via != auth.ViaConsole || c.Role != auth.Operator {
			t.Errorf("the session: %+v, %v", c, err)
		}
		time.Sleep(auth.SessionTTL)
		if _, _, err := again.BySession(cookie, ""); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("a session after its end: %v", err)
		}
		time.Sleep(12 * time.Hour)
		if _, err := again.ByKey(secret, auth.ViaGRPC, ""); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("a key after its end: %v", err)
		}
		if again.HasAdmin() {
			t.Error("an operator counts as an admin")
		}
	})
}

// A stream's context ends when its key is revoked or expires, and not before.
func TestStreamsEndWithTheirKey(t *testing.T) {
	store := openStore(t)
	synctest.Test(t, func(t *testing.T) {
		k := open(t, store)
		ttls := map[string]time.Duration{"expires": time.Hour, "revoked": 0}
		for name, ttl := range ttls {
			key, secret, err := k.Create(t.Context(), name, auth.Viewer, ttl, auth.Host)
			if err != nil {
				t.Fatal(err)
			}
			caller, err := k.ByKey(secret, auth.ViaGRPC, "")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := k.Until(t.Context(), caller)
			defer cancel()
			time.Sleep(time.Hour - time.Second)
			if ctx.Err() != nil {
				t.Errorf("%s: it ended early: %v", name, context.Cause(ctx))
			}
			if ttl == 0 {
				if _, err := k.Revoke(t.Context(), key.ID, false); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if !fault.Is(context.Cause(ctx), fault.Unauthenticated) {
				t.Errorf("%s: %v", name, context.Cause(ctx))
			}
		}
		ctx, cancel := k.Until(t.Context(), auth.Caller{Name: auth.Loopback})
		if ctx.Err() != nil {
			t.Error("a caller without a key is disconnected")
		}
		cancel()
	})
}

// Sessions of a key are bounded, and so is how fast it opens them; the newest work.
func TestSessionsAreBounded(t *testing.T) {
	store := openStore(t)
	synctest.Test(t, func(t *testing.T) {
		k := open(t, store)
		key := func(name string) string {
			t.Helper()
			_, secret, err := k.Create(t.Context(), name, auth.Viewer, 0, auth.Host)
			if err != nil {
				t.Fatal(err)
			}
			return secret
		}
		desk, other := key("desk"), key("other")
		var last string
		var err error
		for range 4 {
			for range auth.MaxFailures {
				if _, _, last, err = k.Login(t.Context(), desk, ""); err != nil {
					t.Fatal(err)
				}
			}
			_, _, _, err = k.Login(t.Context(), desk, "")
			faulttest.Produces(t, err, fault.TooManyCalls)
			if f, ok := fault.As(err); !ok || time.Until(f.RetryAt) != time.Minute {
				t.Fatalf("the caller does not learn when to retry: %v", err)
			}
			if _, _, _, err := k.Login(t.Context(), other, ""); err != nil {
				t.Errorf("another key: %v", err)
			}
			time.Sleep(time.Minute)
		}
		if len(k.sessions) != maxSessions+4 {
			t.Errorf("%d sessions are open", len(k.sessions))
		}
		if _, _, err := k.BySession(last, ""); err != nil {
			t.Errorf("the newest: %v", err)
		}
		kept, err := k.store.Sessions(t.Context(), time.Now())
		if err != nil || len(kept) != maxSessions+4 {
			t.Errorf("%d are kept, %v", len(kept), err)
		}
		k.note(t.Context())
	})
}

func TestAddressesAreGrouped(t *testing.T) {
	for address, want := range map[string]string{"10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "2001:db8::1": "2001:db8::/64", "2001:db8::ff:1": "2001:db8::/64", "fe80::1%eth0": "fe80::/64", "": "", "unix": "unix"} {
		if got := network(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// A wrong key costs about a microsecond and nothing that is kept.
func BenchmarkWrongKey(b *testing.B) {
	k := open(b, openStore(b))
	for i := range 100 {
		if _, _, err := k.Create(b.Context(), fmt.Sprint("key ", i), auth.Viewer, 0, auth.Host); err != nil {
			b.Fatal(err)
		}
	}
	wrong := "abk_aaaaaaaaaa_" + strings.Repeat("b", 52)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.ByKey(wrong, auth.ViaGRPC, "10.0.0.1"); err == nil {
			b.Fatal("a wrong key was taken")
		}
	}
}
