package market

import "fmt"

// Pool is a set of data that is stored, scheduled and paused independently. The zero value
// is no pool.
type Pool string

// The two pools.
const (
	// Targets is the pool of the target list, in SQLite.
	Targets Pool = "targets"
	// Universe is the whole market, in DuckDB.
	Universe Pool = "universe"
)

// Pools lists every pool, in the order of their runs.
func Pools() []Pool { return []Pool{Targets, Universe} }

// ParsePool parses a pool's name, as in the ledger and in URLs.
func ParsePool(s string) (Pool, error) {
	switch p := Pool(s); p {
	case Targets, Universe:
		return p, nil
	}
	return "", fmt.Errorf("unknown pool %.40q: allowed are targets, universe", s)
}
