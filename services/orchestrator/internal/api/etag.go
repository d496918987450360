package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// checkEtag refuses a change of something that is not what the caller read. An empty
// etag changes whatever is there.
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
