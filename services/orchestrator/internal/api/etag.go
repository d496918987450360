package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// checkEtag rejects a change if the resource has changed since the caller read it. An empty
// etag is not checked.
func checkEtag(kind, id, given, now string) error {
	if given == "" || given == now {
		return nil
	}
	return fault.New(fault.EtagMismatch, fmt.Sprintf("The %s has changed since it was read.", named(kind, id)), "kind", kind, "id", id, "etag", now)
}

// etagOf changes with the value.
func etagOf(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // settings always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func named(kind, id string) string {
	if id == "" {
		return kind
	}
	return kind + " " + id
}
