package limiter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/internal/atomicfile"
	"github.com/afterbell/afterbell/services/internal/market"
)

// The file is a list of states by token and API. Times are Unix ms.
type file struct {
	Version int      `json:"version"`
	States  []record `json:"states"`
}

type record struct {
	Token      string           `json:"token"`
	API        string           `json:"api"`
	Setting    int              `json:"setting"`
	Limits     map[string]limit `json:"limits,omitempty"`
	Closed     map[string]int64 `json:"closed,omitempty"`
	Held       int64            `json:"held,omitempty"`
	Spent      []int64          `json:"spent,omitempty"`
	Day        market.Date      `json:"day"`
	SpentToday int              `json:"spent_today"`
}

type limit struct {
	Calls int   `json:"calls"`
	At    int64 `json:"at"`
}

const fileVersion = 1

// maxKept is the number of calls that are saved per key.
const maxKept = 1000

var allWindows = []quota.Window{quota.Minute, quota.Hour, quota.Day}

// load reads the file. No file is no error.
func load(path string, set quota.Settings, now time.Time) (map[quota.Key]quota.State, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parse(raw, set, now)
}

func parse(raw []byte, set quota.Settings, now time.Time) (map[quota.Key]quota.State, error) {
	var f file
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("version %d, want %d", f.Version, fileVersion)
	}
	states := make(map[quota.Key]quota.State, len(f.States))
	for _, r := range f.States {
		s := quota.State{Day: r.Day, SpentToday: max(0, r.SpentToday)}
		for _, w := range allWindows {
			// A limit that was discarded on purpose is tried again before the stored one applies.
			l := r.Limits[w.String()]
			if at := time.UnixMilli(l.At); l.Calls > 0 && !at.After(now) && (w != quota.Minute || r.Setting == set.Limit(r.API)) {
				s.Learnt[w] = quota.Learnt{Calls: l.Calls, At: at}
			}
			if c := r.Closed[w.String()]; c > 0 {
				s.Closed[w] = time.UnixMilli(c)
			}
		}
		if r.Held > 0 {
			s.Held = time.UnixMilli(r.Held)
		}
		for _, ms := range r.Spent {
			s.Spent = append(s.Spent, time.UnixMilli(ms))
		}
		slices.SortFunc(s.Spent, time.Time.Compare)
		s.Clamp(now)
		states[quota.Key{Token: r.Token, API: r.API}] = s
	}
	return states, nil
}

// remember saves, unless another save is in progress; then dirty stays set for the next
// one. A failure is only a warning, because limits stay in memory.
func (l *Limiter) remember() {
	if !l.saveMu.TryLock() {
		return
	}
	defer l.saveMu.Unlock()
	if err := l.save(); err != nil {
		l.cfg.Log.Warn("the learned limits of the provider cannot be written", "file", l.cfg.Path, "error", err)
	}
}

// save writes the file if anything changed. saveMu is held.
func (l *Limiter) save() error {
	if l.cfg.Path == "" {
		return nil
	}
	l.mu.Lock()
	if !l.dirty {
		l.mu.Unlock()
		return nil
	}
	now := time.Now()
	l.dirty, l.saved = false, now
	f := l.snapshot(now)
	l.mu.Unlock()
	raw, err := json.Marshal(f)
	if err == nil {
		err = atomicfile.Write(l.cfg.Path, raw, 0o600)
	}
	if err != nil {
		l.mu.Lock()
		l.dirty = true
		l.mu.Unlock()
	}
	return err
}

func (l *Limiter) snapshot(now time.Time) file {
	f := file{Version: fileVersion}
	for k, ln := range l.lines {
		s := &ln.state
		r := record{
			Token: k.Token, API: k.API, Setting: l.cfg.Settings.Limit(k.API),
			Limits: map[string]limit{}, Closed: map[string]int64{}, Day: s.Day, SpentToday: s.SpentToday,
		}
		length := quota.Minute.Length()
		for _, w := range allWindows {
			if s.Learnt[w].Calls > 0 {
				r.Limits[w.String()] = limit{s.Learnt[w].Calls, s.Learnt[w].At.UnixMilli()}
				if w == quota.Hour {
					length = w.Length()
				}
			}
			if s.Closed[w].After(now.Add(-quota.Day.Length())) {
				r.Closed[w.String()] = s.Closed[w].UnixMilli()
			}
		}
		if s.Held.After(now) {
			r.Held = s.Held.UnixMilli()
		}
		for i := max(0, len(s.Spent)-maxKept); i < len(s.Spent); i++ {
			if now.Sub(s.Spent[i]) < length {
				r.Spent = append(r.Spent, s.Spent[i].UnixMilli())
			}
		}
		f.States = append(f.States, r)
	}
	return f
}
