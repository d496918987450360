package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// PauseState says whether a pool is paused, and by whom.
type PauseState = run.PauseState

// Calendar is the last copy of the exchange's calendar.
type Calendar = slot.Calendar

// exec runs one statement in a transaction of its own.
func (s *Store) exec(ctx context.Context, doing, statement string, args ...any) error {
	return failed(doing, s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, statement, args...)
		return err
	}))
}

// PauseState returns the pause state of a pool; the zero PauseState if it was never paused.
func (s *Store) PauseState(ctx context.Context, pool market.Pool) (h PauseState, err error) {
	err = s.db.Reader().QueryRowContext(ctx, "SELECT paused, note, noted_at FROM pools WHERE pool = ?", pool).
		Scan(&h.Paused, &h.Note, toTime{&h.At})
	if errors.Is(err, sql.ErrNoRows) {
		return PauseState{}, nil
	}
	return h, failed("read pool", err)
}

// SetPauseState pauses or resumes a pool.
func (s *Store) SetPauseState(ctx context.Context, pool market.Pool, h PauseState) error {
	before, err := s.PauseState(ctx, pool)
	if err != nil {
		return err
	}
	return s.changeRow(ctx, "pause or resume pool", before, h, upsert("pools", "pool, paused, note, noted_at", "pool"), pool, h.Paused, h.Note, stamp(h.At))
}

// changeRow is exec for a caller's change; see change.
func (s *Store) changeRow(ctx context.Context, doing string, before, after any, statement string, args ...any) error {
	return failed(doing, s.change(ctx, func(tx *sqlite.Tx) (any, any, error) {
		_, err := tx.ExecContext(ctx, statement, args...)
		return before, after, err
	}))
}

// changeJSON is saveJSON for a caller's change; see change. Before the first change, the
// value is the default. Other parts of the change are written in the same transaction.
func (s *Store) changeJSON(ctx context.Context, table string, v, byDefault any, also ...func(*sqlite.Tx) error) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	first, err := json.Marshal(byDefault)
	if err != nil {
		return err
	}
	return failed("save "+table, s.change(ctx, func(tx *sqlite.Tx) (any, any, error) {
		before := string(first)
		err := tx.QueryRowContext(ctx, "SELECT body FROM "+table+" WHERE id = 1").Scan(&before)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, nil, err
		}
		if _, err := tx.ExecContext(ctx, upsert(table, "id, body, changed_at", "id"), 1, string(text), stamp(tx.Now)); err != nil {
			return nil, nil, err
		}
		for _, f := range also {
			if err := f(tx); err != nil {
				return nil, nil, err
			}
		}
		return before, string(text), nil
	}))
}

// saveJSON stores the one row of a table; loadJSON reads it into v, which does not change
// if the table is empty.
func (s *Store) saveJSON(ctx context.Context, table, moment string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return failed("save "+table, s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, upsert(table, "id, body, "+moment, "id"), 1, string(text), stamp(tx.Now))
		return err
	}))
}

func (s *Store) loadJSON(ctx context.Context, table string, v any) (found bool, err error) {
	err = s.db.Reader().QueryRowContext(ctx, "SELECT body FROM "+table+" WHERE id = 1").Scan(toJSON{v})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, failed("read "+table, err)
}

// SaveCatalog stores the worker's catalog.
func (s *Store) SaveCatalog(ctx context.Context, c catalog.Catalog) error {
	return s.saveJSON(ctx, "catalog", "saved_at", c)
}

// Catalog is the stored catalog; ok is false before there is one.
func (s *Store) Catalog(ctx context.Context) (c catalog.Catalog, ok bool, err error) {
	ok, err = s.loadJSON(ctx, "catalog", &c)
	return c, ok, err
}

// SaveTokens stores where each domain's token comes from, and the host of the provider.
func (s *Store) SaveTokens(ctx context.Context, tokens []readiness.Token, host string, at time.Time) error {
	text, err := list(tokens)
	if err != nil {
		return err
	}
	return s.exec(ctx, "save tokens", upsert("tokens", "id, host, body, saved_at", "id"), 1, host, text, stamp(at))
}

// Tokens by domain, and the host of the provider. Both are empty before the worker has sent
// them.
func (s *Store) Tokens(ctx context.Context) (byDomain map[string]readiness.Token, host string, err error) {
	var tokens []readiness.Token
	err = s.db.Reader().QueryRowContext(ctx, "SELECT host, body FROM tokens WHERE id = 1").Scan(&host, toJSON{&tokens})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, "", failed("read tokens", err)
	}
	byDomain = make(map[string]readiness.Token, len(tokens))
	for _, t := range tokens {
		byDomain[t.Domain] = t
	}
	return byDomain, host, nil
}

// SaveCalendar stores the worker's calendar. One without trading days is not stored. If it
// did not change, only the time is written: the worker sends it again for each check.
func (s *Store) SaveCalendar(ctx context.Context, c Calendar) error {
	if len(c.Open) == 0 {
		return nil
	}
	s.calendar.Lock()
	held := s.calendar.held
	s.calendar.Unlock()
	if held != nil && held.First == c.First && held.Last == c.Last && slices.Equal(held.Open, c.Open) {
		return s.exec(ctx, "save calendar", "UPDATE calendar SET saved_at = ? WHERE id = 1", stamp(time.Now()))
	}
	days := make([]string, len(c.Open))
	for i, d := range c.Open {
		days[i] = d.String()
	}
	text, err := list(days)
	if err != nil {
		return err
	}
	defer func() { // also after an error, when it is unknown whether it was saved
		s.calendar.Lock()
		defer s.calendar.Unlock()
		s.calendar.held = nil
		s.calendar.saved++
	}()
	return failed("save calendar", s.db.Write(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, upsert("calendar", "id, first_date, last_date, open_dates, saved_at", "id"),
			1, c.First.String(), c.Last.String(), text, stamp(tx.Now))
		return err
	}))
}

// Calendar is the stored calendar; without trading days before the worker has sent one. It
// must not be modified.
func (s *Store) Calendar(ctx context.Context) (Calendar, error) {
	s.calendar.Lock()
	held, saved := s.calendar.held, s.calendar.saved
	s.calendar.Unlock()
	if held != nil {
		return *held, nil
	}
	c, err := s.readCalendar(ctx)
	if err != nil {
		return c, err
	}
	s.calendar.Lock()
	defer s.calendar.Unlock()
	if s.calendar.saved == saved {
		s.calendar.held = &c
	}
	return c, nil
}

func (s *Store) readCalendar(ctx context.Context) (Calendar, error) {
	c := Calendar{First: market.NoDate, Last: market.NoDate}
	var days []string
	err := s.db.Reader().QueryRowContext(ctx, "SELECT first_date, last_date, open_dates FROM calendar WHERE id = 1").
		Scan(toDay{&c.First}, toDay{&c.Last}, toJSON{&days})
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	if err != nil {
		return c, failed("read calendar", err)
	}
	c.Open = make([]market.Date, len(days))
	for i, text := range days {
		if c.Open[i], err = market.ParseDate(text); err != nil {
			return Calendar{First: market.NoDate, Last: market.NoDate}, failed("read calendar", err)
		}
	}
	return c, nil
}

// Settings as stored; fields that were never stored have their default.
func (s *Store) Settings(ctx context.Context) (settings.Settings, error) {
	v := settings.Default()
	_, err := s.loadJSON(ctx, "settings", &v)
	return v, err
}

// SaveSettings replaces the settings.
func (s *Store) SaveSettings(ctx context.Context, v settings.Settings) error {
	return s.changeJSON(ctx, "settings", v, settings.Default())
}

// Schedule as stored; fields that were never stored have their default.
func (s *Store) Schedule(ctx context.Context) (slot.Schedule, error) {
	v := slot.Default()
	v.Pools = nil // decoding would write into the default's list
	found, err := s.loadJSON(ctx, "schedule", &v)
	if err == nil && !found {
		return slot.Default(), nil
	}
	return v, err
}

// SaveSchedule replaces the schedule. The given slots become pending again.
func (s *Store) SaveSchedule(ctx context.Context, v slot.Schedule, again ...slot.Slot) error {
	return s.changeJSON(ctx, "schedule", v, slot.Default(), func(tx *sqlite.Tx) error {
		for i := range again {
			values, err := slotOf(&again[i])
			if err != nil {
				return err
			}
			// A decided row never becomes pending; a new row replaces it.
			if _, err := tx.ExecContext(ctx, "DELETE FROM slots WHERE id = ?", again[i].ID); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO slots ("+slotColumns+") VALUES "+slotValues, values...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Domains are the stored settings, by domain.
func (s *Store) Domains(ctx context.Context) (map[string]readiness.DomainSetting, error) {
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT domain, enabled, provider FROM domains")
	if err != nil {
		return nil, failed("read domains", err)
	}
	defer rows.Close()
	domains := map[string]readiness.DomainSetting{}
	for rows.Next() {
		var d readiness.DomainSetting
		if err := rows.Scan(&d.Domain, &d.Enabled, &d.Provider); err != nil {
			return nil, failed("read domains", err)
		}
		domains[d.Domain] = d
	}
	return domains, failed("read domains", rows.Err())
}

// SaveDomain replaces the setting of a domain.
func (s *Store) SaveDomain(ctx context.Context, d readiness.DomainSetting) error {
	domains, err := s.Domains(ctx)
	if err != nil {
		return err
	}
	before := readiness.Facts{Domains: domains}.Domain(d.Domain)
	before.Domain = d.Domain
	return s.changeRow(ctx, "save domain", before, d, upsert("domains", "domain, enabled, provider", "domain"), d.Domain, d.Enabled, d.Provider)
}

// Modules returns whether the modules that a user has set are enabled.
func (s *Store) Modules(ctx context.Context) (map[string]bool, error) {
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT module, enabled FROM modules")
	if err != nil {
		return nil, failed("read modules", err)
	}
	defer rows.Close()
	modules := map[string]bool{}
	for rows.Next() {
		var id string
		var enabled bool
		if err := rows.Scan(&id, &enabled); err != nil {
			return nil, failed("read modules", err)
		}
		modules[id] = enabled
	}
	return modules, failed("read modules", rows.Err())
}

// SaveModule enables or disables a module.
func (s *Store) SaveModule(ctx context.Context, id string, enabled bool) error {
	modules, err := s.Modules(ctx)
	if err != nil {
		return err
	}
	cat, _, err := s.Catalog(ctx)
	if err != nil {
		return err
	}
	var before any // nil for a module that is not in the catalog
	if m := cat.Module(id); m != nil {
		before = map[string]bool{id: readiness.Facts{Modules: modules}.Enabled(m)}
	} else if saved, ok := modules[id]; ok {
		before = map[string]bool{id: saved}
	}
	return s.changeRow(ctx, "save module", before, map[string]bool{id: enabled}, upsert("modules", "module, enabled", "module"), id, enabled)
}

const (
	preflightColumns = "id, run_id, state, started_at, ended_at, verdicts, calls"
	probeColumns     = "module, status, probed_at, latency_us, rows, calls, issues, fingerprint, config_hash"
)

// SavePreflight stores a preflight.
func (s *Store) SavePreflight(ctx context.Context, p readiness.Preflight) error {
	verdicts, err := list(p.Verdicts)
	if err != nil {
		return err
	}
	return s.exec(ctx, "save preflight", upsert("preflights", preflightColumns, "id"),
		p.ID, p.RunID, p.State, stamp(p.StartedAt), stamp(p.EndedAt), verdicts, p.Calls)
}

func scanPreflight(row scanner) (p readiness.Preflight, err error) {
	err = row.Scan(&p.ID, &p.RunID, &p.State, toTime{&p.StartedAt}, toTime{&p.EndedAt}, toJSON{&p.Verdicts}, &p.Calls)
	return p, err
}

// Preflight returns a preflight.
func (s *Store) Preflight(ctx context.Context, id string) (readiness.Preflight, error) {
	p, err := scanPreflight(s.db.Reader().QueryRowContext(ctx, "SELECT "+preflightColumns+" FROM preflights WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return readiness.Preflight{}, notFound("preflight", id)
	}
	return p, failed("read preflight", err)
}

// Preflights lists preflights, newest first, those in the future last; before is the ID of
// one, and only those after it are listed.
func (s *Store) Preflights(ctx context.Context, limit int, before string) ([]readiness.Preflight, error) {
	if limit <= 0 {
		limit = 50
	}
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT "+preflightColumns+` FROM preflights,
	  (SELECT coalesce((SELECT started_at > ?1 FROM preflights WHERE id = ?2), 0) AS ahead) cursor
	  WHERE ?2 = '' OR (started_at > ?1) > cursor.ahead OR (started_at > ?1) = cursor.ahead AND id < ?2
	  ORDER BY (started_at > ?1), id DESC LIMIT ?3`, stamp(present(time.Now())), before, limit)
	if err != nil {
		return nil, failed("read preflights", err)
	}
	defer rows.Close()
	var all []readiness.Preflight
	for rows.Next() {
		p, err := scanPreflight(rows)
		if err != nil {
			return nil, failed("read preflights", err)
		}
		all = append(all, p)
	}
	return all, failed("read preflights", rows.Err())
}

// SaveProbe replaces the last probe of a module.
func (s *Store) SaveProbe(ctx context.Context, p readiness.Probe) error {
	issues, err := list(p.Issues)
	if err != nil {
		return err
	}
	return s.exec(ctx, "save probe", upsert("probes", probeColumns, "module"),
		p.Module, p.Status, stamp(p.At), p.Latency.Microseconds(), p.Rows, p.Calls, issues, p.Fingerprint, p.ConfigHash)
}

// Probes are the last probes by module.
func (s *Store) Probes(ctx context.Context) (map[string]readiness.Probe, error) {
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT "+probeColumns+" FROM probes")
	if err != nil {
		return nil, failed("read probes", err)
	}
	defer rows.Close()
	probes := map[string]readiness.Probe{}
	for rows.Next() {
		var p readiness.Probe
		var latency int64
		err := rows.Scan(&p.Module, &p.Status, toTime{&p.At}, &latency, &p.Rows, &p.Calls, toJSON{&p.Issues}, &p.Fingerprint, &p.ConfigHash)
		if err != nil {
			return nil, failed("read probes", err)
		}
		p.Latency = time.Duration(latency) * time.Microsecond
		probes[p.Module] = p
	}
	return probes, failed("read probes", rows.Err())
}

const epochBlock = 10_000 // ms: one write in ten seconds at most

// NextEpoch is greater than all earlier ones, across restarts and changes of the clock, and
// close to the current Unix ms.
func (s *Store) NextEpoch(ctx context.Context, now time.Time) (int64, error) {
	e := &s.epochs
	e.Lock()
	defer e.Unlock()
	if e.reserved == 0 {
		err := s.db.Reader().QueryRowContext(ctx, "SELECT reserved FROM epochs WHERE id = 1").Scan(&e.last)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return 0, failed("read epochs", err)
		}
	}
	next := max(e.last+1, now.UnixMilli())
	if next > e.reserved {
		reserve := next + epochBlock
		if err := s.exec(ctx, "reserve epochs", upsert("epochs", "id, reserved", "id"), 1, reserve); err != nil {
			return 0, err
		}
		e.reserved = reserve
	}
	e.last = next
	return next, nil
}

const slotColumns = "id, pool, date, due_at, state, decided_at, run_id, issues, late_ms, late_note"

var slotValues = "(?" + strings.Repeat(", ?", strings.Count(slotColumns, ",")) + ")"

func slotOf(v *slot.Slot) ([]any, error) {
	issues, err := list(v.Issues)
	return []any{v.ID, v.Pool, day(v.Date), stamp(v.DueAt), v.State, stamp(v.DecidedAt), v.RunID, issues,
		v.Late.Milliseconds(), v.LateNote}, err
}
