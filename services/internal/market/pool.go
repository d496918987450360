package market

import "fmt"

// Pool is a body of data that is stored, scheduled, paused and failing on its
// own. The zero value is no pool.
type Pool string

// The two pools.
const (
	// Targets is the short watch list, kept in SQLite.
	Targets Pool = "targets"
	// Universe is the whole market, kept in DuckDB.
	Universe Pool = "universe"
)

// Pools lists every pool in the order in which `scope=both` runs them.
func Pools() []Pool { return []Pool{Targets, Universe} }

// ParsePool reads a pool's name as it stands in the ledger and in URLs.
func ParsePool(s string) (Pool, error) {
	switch p := Pool(s); p {
	case Targets, Universe:
		return p, nil
	}
	return "", fmt.Errorf("unknown pool %.40q: allowed are targets, universe", s)
}
