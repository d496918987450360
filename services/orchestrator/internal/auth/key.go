package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Limits of a key.
const (
	// MaxName is the longest name, in characters.
	MaxName = 100
	// MinTTL is the shortest lifetime of a key.
	MinTTL = time.Minute
	// MaxTTL is the longest lifetime of a key, ten years.
	MaxTTL = 3650 * 24 * time.Hour
)

const (
	keyPrefix  = "abk_"
	idChars    = 10
	secretSize = 32 // bytes: 256 bits, so that a plain hash suffices
)

var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// secretChars is the length of the text of a secret.
var secretChars = letters.EncodedLen(secretSize)

// Hash is the SHA-256 of a key or of a session's cookie.
type Hash = [sha256.Size]byte

// Key is a key without its secret.
type Key struct {
	// ID is the public part of the key: ten characters of a to z and 2 to 7.
	ID string
	// Name says who or what uses it.
	Name string
	// Role of its callers.
	Role Role
	// Hash of the whole key.
	Hash Hash
	// CreatedAt is when it was created.
	CreatedAt time.Time
	// Creator is the name of the caller that created it.
	Creator string
	// ExpiresAt is when it expires; zero means never.
	ExpiresAt time.Time
	// RevokedAt is when it was revoked; zero means that it was not.
	RevokedAt time.Time
	// UsedAt is when it was last used.
	UsedAt time.Time
	// UsedFrom is the address of the last use.
	UsedFrom string
}

// NewKey creates a key and returns it with its text, which is not stored. A ttl of 0 means
// that it never expires. INVALID_ARGUMENT names what is wrong with the name, role or ttl.
func NewKey(name string, role Role, ttl time.Duration, creator string, now time.Time) (Key, string, error) {
	if n := utf8.RuneCountInString(name); n < 1 || n > MaxName || !utf8.ValidString(name) {
		return Key{}, "", fault.Invalid("name", "must have 1 to %d characters", MaxName)
	}
	if strings.ContainsFunc(name, unicode.IsControl) || strings.TrimSpace(name) != name {
		return Key{}, "", fault.Invalid("name", "must not contain control characters, and must not begin or end with a space")
	}
	if name == Loopback || name == Host {
		return Key{}, "", fault.Invalid("name", "%s is reserved for callers without a key", name)
	}
	if _, err := ParseRole(string(role)); err != nil {
		return Key{}, "", fault.Invalid("role", "%v", err)
	}
	if ttl != 0 && (ttl < MinTTL || ttl > MaxTTL) {
		return Key{}, "", fault.Invalid("ttl", "%s is outside 1m to 3650d", ttl)
	}
	k := Key{ID: random(idChars * 5 / 8)[:idChars], Name: name, Role: role, Creator: creator, CreatedAt: now}
	if ttl != 0 {
		k.ExpiresAt = now.Add(ttl)
	}
	secret := keyPrefix + k.ID + "_" + random(secretSize)
	k.Hash = sha256.Sum256([]byte(secret))
	return k, secret, nil
}

func random(bytes int) string {
	b := make([]byte, bytes+1)
	_, _ = rand.Read(b) // it never fails
	return letters.EncodeToString(b)[:letters.EncodedLen(bytes)]
}

// SplitKey returns the ID and the hash of the text of a key; ok is false if the text is not
// a key.
func SplitKey(text string) (id string, hash Hash, ok bool) {
	rest, ok := strings.CutPrefix(text, keyPrefix)
	if !ok || len(rest) != idChars+1+secretChars || rest[idChars] != '_' {
		return "", Hash{}, false
	}
	return rest[:idChars], sha256.Sum256([]byte(text)), true
}

// Matches compares hashes in constant time.
func (k Key) Matches(hash Hash) bool { return subtle.ConstantTimeCompare(k.Hash[:], hash[:]) == 1 }

// Active reports whether the key is valid at a time.
func (k Key) Active(now time.Time) bool { return k.Check(now) == nil }

// Check returns UNAUTHENTICATED if the key is revoked or expired.
func (k Key) Check(now time.Time) error {
	switch {
	case !k.RevokedAt.IsZero():
		return Refuse("revoked")
	case !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt):
		return Refuse("expired")
	}
	return nil
}

// SessionTTL is how long a session of the console lasts.
const SessionTTL = 12 * time.Hour

// Session is a session of the console.
type Session struct {
	// Hash of the cookie.
	Hash Hash
	// KeyID is the key that it was opened with.
	KeyID string
	// CreatedAt is when it was opened.
	CreatedAt time.Time
	// ExpiresAt is when it ends.
	ExpiresAt time.Time
	// Address it was opened from.
	Address string
}

// NewSession opens a session for a key and returns the value of its cookie, which is not
// stored.
func NewSession(k Key, address string, now time.Time) (Session, string) {
	cookie := random(secretSize)
	s := Session{Hash: HashCookie(cookie), KeyID: k.ID, CreatedAt: now, ExpiresAt: now.Add(SessionTTL), Address: address}
	if !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(s.ExpiresAt) {
		s.ExpiresAt = k.ExpiresAt
	}
	return s, cookie
}

// HashCookie returns the hash that is stored instead of a cookie.
func HashCookie(cookie string) Hash { return sha256.Sum256([]byte(cookie)) }

// CSRF is the token that a page sends with the cookie to change something. It is derived
// from the cookie, which no script can read.
func CSRF(cookie string) string {
	mac := hmac.New(sha256.New, []byte(cookie))
	mac.Write([]byte("csrf"))
	return letters.EncodeToString(mac.Sum(nil))
}

// CheckCSRF returns ROLE_REQUIRED unless the token belongs to the cookie.
func CheckCSRF(cookie, token string) error {
	if subtle.ConstantTimeCompare([]byte(CSRF(cookie)), []byte(token)) == 1 {
		return nil
	}
	return fault.New(fault.RoleRequired, "A request that changes something with a session cookie requires the header X-CSRF-Token; GET /v1/session returns its value as csrfToken.", "cause", "csrf")
}

var refusals = map[string]string{
	"missing":   "This call requires an API key.",
	"malformed": "The API key is malformed: a key begins with abk_ and has 67 characters.",
	"unknown":   "The API key does not exist.",
	"expired":   "The API key has expired.",
	"revoked":   "The API key was revoked.",
	"session":   "The session has ended; log in again.",
}

// Refuse is UNAUTHENTICATED with its cause: missing, malformed, unknown, expired,
// revoked or session.
func Refuse(cause string) error {
	return fault.New(fault.Unauthenticated, refusals[cause], "cause", cause)
}
