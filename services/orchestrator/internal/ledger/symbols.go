package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// fewSymbols is how many symbols a partition's own row stores. Longer lists are stored once
// for all partitions that have them.
const fewSymbols = 20

// symbolWriter stores the symbol lists of one transaction.
type symbolWriter struct {
	tx *sqlite.Tx
	// stored are the texts of the stored lists, by their first element: partitions of a plan
	// share their lists.
	stored map[*string]symbolText
}

type symbolText struct {
	n    int
	text string
}

// text is what a partition's row stores for its symbols.
func (w *symbolWriter) text(ctx context.Context, symbols []string) (string, error) {
	if len(symbols) <= fewSymbols {
		return list(symbols)
	}
	if known := w.stored[&symbols[0]]; known.n == len(symbols) {
		return known.text, nil
	}
	body, err := list(symbols)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(body))
	digest := "#" + hex.EncodeToString(sum[:16])
	if _, err := w.tx.ExecContext(ctx, "INSERT OR IGNORE INTO symbol_lists (digest, symbols) VALUES (?, ?)", digest, body); err != nil {
		return "", err
	}
	if w.stored == nil {
		w.stored = map[*string]symbolText{}
	}
	w.stored[&symbols[0]] = symbolText{len(symbols), digest}
	return digest, nil
}

// symbolsOf sets the symbols of partitions from the texts of their rows. Partitions with
// the same list share it.
func (s *Store) symbolsOf(ctx context.Context, partitions []run.Partition, texts []string) error {
	lists := map[string][]string{}
	for i, text := range texts {
		body := text
		if strings.HasPrefix(text, "#") {
			if known, ok := lists[text]; ok {
				partitions[i].Symbols = known
				continue
			}
			if err := s.db.Reader().QueryRowContext(ctx, "SELECT symbols FROM symbol_lists WHERE digest = ?", text).Scan(&body); err != nil {
				return err
			}
		}
		if body == "" || body == "[]" {
			continue
		}
		if err := json.Unmarshal([]byte(body), &partitions[i].Symbols); err != nil {
			return err
		}
		if body != text {
			lists[text] = partitions[i].Symbols
		}
	}
	return nil
}
