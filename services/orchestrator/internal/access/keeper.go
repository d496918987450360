package access

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

const (
	// noteEvery is how often the last uses of keys are written and invalid keys are logged.
	noteEvery = time.Minute
	// maxSessions is how many sessions a key may have open. The oldest one is closed for a new
	// one.
	maxSessions = 100
)

// Store stores keys and sessions; *ledger.Store implements it.
type Store interface {
	Keys(ctx context.Context) ([]auth.Key, error)
	AddKey(ctx context.Context, k auth.Key) error
	RevokeKey(ctx context.Context, id string, at time.Time) (auth.Key, error)
	UsedKeys(ctx context.Context, keys []auth.Key) error
	Sessions(ctx context.Context, now time.Time) ([]auth.Session, error)
	AddSession(ctx context.Context, s auth.Session) error
	DropSession(ctx context.Context, hash auth.Hash) error
}

// Keeper authenticates callers. It is safe for concurrent use.
type Keeper struct {
	store Store
	log   *slog.Logger

	changing sync.Mutex // held while the store is written
	mu       sync.Mutex // guards the fields below; never held during I/O
	keys     map[string]*entry
	sessions map[auth.Hash]auth.Session
	failures auth.Failures
	logins   auth.Failures // of each key, at most as many as an address may send invalid keys
}

// entry is a key with its state in this process.
type entry struct {
	auth.Key
	used   bool // since the last write
	ctx    context.Context
	revoke context.CancelCauseFunc
}

func newEntry(k auth.Key) *entry {
	e := &entry{Key: k}
	e.ctx, e.revoke = context.WithCancelCause(context.Background())
	if !k.RevokedAt.IsZero() {
		e.revoke(auth.Refuse("revoked"))
	}
	return e
}

// Open reads keys and sessions from the store.
func Open(ctx context.Context, store Store, log *slog.Logger) (*Keeper, error) {
	k := &Keeper{store: store, log: log, keys: map[string]*entry{}, sessions: map[auth.Hash]auth.Session{}}
	keys, err := store.Keys(ctx)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		k.keys[key.ID] = newEntry(key)
	}
	sessions, err := store.Sessions(ctx, time.Now())
	if err != nil {
		return nil, err
	}
	for _, s := range sessions {
		k.sessions[s.Hash] = s
	}
	return k, nil
}

// ByKey returns the caller that sent a key. UNAUTHENTICATED says why the key is invalid;
// TOO_MANY_ATTEMPTS follows when the address has sent too many invalid ones. A valid key is
// always accepted.
func (k *Keeper) ByKey(key, via, address string) (auth.Caller, error) {
	id, hash, ok := auth.SplitKey(key)
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.keys[id]
	switch {
	case !ok:
		return auth.Caller{}, k.failed("malformed", address, now)
	case e == nil || !e.Matches(hash):
		return auth.Caller{}, k.failed("unknown", address, now)
	}
	return k.use(e, via, address, now)
}

func (k *Keeper) failed(cause, address string, now time.Time) error {
	if err := k.failures.Note(network(address), now); err != nil {
		return err
	}
	return auth.Refuse(cause)
}

func (k *Keeper) use(e *entry, via, address string, now time.Time) (auth.Caller, error) {
	if err := e.Check(now); err != nil {
		return auth.Caller{}, err
	}
	e.UsedAt, e.UsedFrom, e.used = now, address, true
	return auth.Caller{Name: e.Name, KeyID: e.ID, Role: e.Role, Via: via, Address: address}, nil
}

// BySession returns the caller that sent a session's cookie. UNAUTHENTICATED if the session
// has ended.
func (k *Keeper) BySession(cookie, address string) (auth.Caller, auth.Session, error) {
	now := time.Now()
	hash := auth.HashCookie(cookie)
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.sessions[hash]
	e := k.keys[s.KeyID]
	if !ok || e == nil || !now.Before(s.ExpiresAt) {
		delete(k.sessions, hash)
		return auth.Caller{}, auth.Session{}, auth.Refuse("session")
	}
	caller, err := k.use(e, auth.ViaConsole, address, now)
	return caller, s, err
}

// Login opens a session for the caller that sent a key, and returns its cookie.
// TOO_MANY_CALLS if the key opens too many within a minute: each session is stored in the
// ledger and its audit trail forever.
func (k *Keeper) Login(ctx context.Context, key, address string) (caller auth.Caller, s auth.Session, cookie string, err error) {
	caller, err = k.ByKey(key, auth.ViaConsole, address)
	if err != nil {
		return caller, s, "", err
	}
	if err := k.countLogin(caller.KeyID); err != nil {
		return caller, s, "", err
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	if err := k.makeRoom(ctx, caller.KeyID); err != nil {
		return caller, s, "", err
	}
	k.mu.Lock()
	e := k.keys[caller.KeyID]
	k.mu.Unlock()
	s, cookie = auth.NewSession(e.Key, address, time.Now())
	ctx = auth.WithChange(ctx, &auth.Change{Entry: auth.Entry{Caller: caller, Method: "Session.Create"}})
	if err := k.store.AddSession(ctx, s); err != nil {
		return caller, s, "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := e.Check(time.Now()); err != nil { // it was revoked meanwhile, together with its sessions
		return caller, s, "", err
	}
	k.sessions[s.Hash] = s
	return caller, s, cookie, nil
}

func (k *Keeper) countLogin(keyID string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	counted, over := fault.As(k.logins.Note(keyID, time.Now()))
	if !over {
		return nil
	}
	err := fault.New(fault.TooManyCalls, "This key opened "+fault.Count(auth.MaxFailures, "session", "sessions")+" within a minute, the maximum.",
		"limit", "sessions", "value", strconv.Itoa(auth.MaxFailures))
	err.RetryAt = counted.RetryAt
	return err
}

// makeRoom closes the oldest sessions of a key that has too many.
func (k *Keeper) makeRoom(ctx context.Context, keyID string) error {
	k.mu.Lock()
	var open []auth.Session
	for _, s := range k.sessions {
		if s.KeyID == keyID {
			open = append(open, s)
		}
	}
	k.mu.Unlock()
	slices.SortFunc(open, func(a, b auth.Session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	for _, s := range open[min(len(open), maxSessions-1):] {
		if err := k.drop(ctx, s.Hash); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) drop(ctx context.Context, hash auth.Hash) error {
	if err := k.store.DropSession(ctx, hash); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sessions, hash)
	return nil
}

// Logout ends a caller's session.
func (k *Keeper) Logout(ctx context.Context, caller auth.Caller, cookie string) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	ctx = auth.WithChange(ctx, &auth.Change{Entry: auth.Entry{Caller: caller, Method: "Session.Delete"}})
	return k.drop(ctx, auth.HashCookie(cookie))
}

// Until returns a context that also ends, with UNAUTHENTICATED as its cause, when the
// caller's key is revoked or expires. So a stream ends with its caller's key.
func (k *Keeper) Until(ctx context.Context, caller auth.Caller) (context.Context, context.CancelFunc) {
	k.mu.Lock()
	e := k.keys[caller.KeyID]
	k.mu.Unlock()
	if e == nil {
		return context.WithCancel(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	release := context.AfterFunc(e.ctx, func() { cancel(context.Cause(e.ctx)) })
	stop := func() bool { return true }
	if !e.ExpiresAt.IsZero() {
		stop = time.AfterFunc(time.Until(e.ExpiresAt), func() { cancel(auth.Refuse("expired")) }).Stop
	}
	return ctx, func() { release(); stop(); cancel(context.Canceled) }
}

// Create creates a key on behalf of a caller.
func (k *Keeper) Create(ctx context.Context, name string, role auth.Role, ttl time.Duration, creator string) (auth.Key, string, error) {
	key, secret, err := auth.NewKey(name, role, ttl, creator, time.Now().Truncate(time.Millisecond))
	if err != nil {
		return key, "", err
	}
	k.changing.Lock()
	defer k.changing.Unlock()
	k.mu.Lock()
	for _, e := range k.keys {
		if e.Name == name && e.Active(key.CreatedAt) {
			k.mu.Unlock()
			return key, "", fault.Invalid("name", "is already used by the active key %s; revoke that key, or choose another name", e.ID)
		}
	}
	k.mu.Unlock()
	if err := k.store.AddKey(ctx, key); err != nil {
		return key, "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys[key.ID] = newEntry(key)
	return key, secret, nil
}

// Revoke revokes a key and ends its sessions and streams. NOT_FOUND if there is no such
// key. With keepAdmin, WRONG_STATE for the last active admin key.
func (k *Keeper) Revoke(ctx context.Context, id string, keepAdmin bool) (auth.Key, error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	if keepAdmin && k.lastAdmin(id) {
		err := fault.New(fault.WrongState, "The key "+id+" is the last active admin key: without it nobody can manage keys, and the orchestrator does not start where it requires keys.",
			"state", "last_admin_key")
		err.Remedy = "Create another admin key first (afterbell keys create NAME --role admin), or revoke this one by force: curl -X POST localhost:7780/v1/keys/" + id + ":revoke -d '{\"force\":true}'"
		return auth.Key{}, err
	}
	revoked, err := k.store.RevokeKey(ctx, id, time.Now())
	if err != nil {
		return revoked, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for hash, s := range k.sessions {
		if s.KeyID == id {
			delete(k.sessions, hash)
		}
	}
	e := k.keys[id]
	e.RevokedAt = revoked.RevokedAt
	e.revoke(auth.Refuse("revoked"))
	return e.Key, nil
}

// lastAdmin reports whether a key is the only active admin key.
func (k *Keeper) lastAdmin(id string) bool {
	admins := k.admins()
	return len(admins) == 1 && admins[0].ID == id
}

// admins are the active keys with the role admin.
func (k *Keeper) admins() []auth.Key {
	now := time.Now()
	return slices.DeleteFunc(k.List(), func(key auth.Key) bool { return key.Role != auth.Admin || !key.Active(now) })
}

// List lists all keys, newest first, with their last use.
func (k *Keeper) List() []auth.Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := make([]auth.Key, 0, len(k.keys))
	for _, e := range k.keys {
		keys = append(keys, e.Key)
	}
	slices.SortFunc(keys, func(a, b auth.Key) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return keys
}

// HasAdmin reports whether an active admin key exists.
func (k *Keeper) HasAdmin() bool { return len(k.admins()) > 0 }

// Run writes the last uses of keys and logs invalid keys, periodically until ctx ends, and
// once more then.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(noteEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			k.note(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
			k.note(ctx)
		}
	}
}

func (k *Keeper) note(ctx context.Context) {
	now := time.Now()
	k.mu.Lock()
	var used []auth.Key
	for _, e := range k.keys {
		if e.used {
			used = append(used, e.Key)
			e.used = false
		}
	}
	for hash, s := range k.sessions {
		if !now.Before(s.ExpiresAt) {
			delete(k.sessions, hash)
		}
	}
	wrong := k.failures.Forget(now)
	k.logins.Forget(now)
	k.mu.Unlock()
	for address, count := range wrong {
		k.log.Warn("invalid API keys were rejected", "address", address, "count", count)
	}
	if len(used) == 0 {
		return
	}
	if err := k.store.UsedKeys(ctx, used); err != nil {
		k.log.Warn("the last use of API keys could not be saved", "error", err.Error())
		k.mu.Lock()
		defer k.mu.Unlock()
		for _, u := range used {
			k.keys[u.ID].used = true
		}
	}
}

// network is the address range that counts as one machine: an IPv4 address, or a /64 of
// IPv6.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
