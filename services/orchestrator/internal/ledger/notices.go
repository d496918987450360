package ledger

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

const channelColumns = "id, kind, enabled, language, url, secret, sealed, body, changed_at"

func (s *Store) scanChannel(row scanner) (c notice.Channel, err error) {
	var address, secret string
	var sealed []byte
	var changed time.Time
	err = row.Scan(&c.ID, &c.Kind, &c.Enabled, &c.Language, &address, &secret, &sealed, toJSON{&c}, toTime{&changed})
	s.unseal(&c, address, secret, sealed)
	return c, err
}

// Channels lists the channels by name, with their secrets.
func (s *Store) Channels(ctx context.Context) ([]notice.Channel, error) {
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT "+channelColumns+" FROM notice_channels ORDER BY id")
	if err != nil {
		return nil, failed("read channels", err)
	}
	defer rows.Close()
	var all []notice.Channel
	for rows.Next() {
		c, err := s.scanChannel(rows)
		if err != nil {
			return nil, failed("read channels", err)
		}
		all = append(all, c)
	}
	return all, failed("read channels", rows.Err())
}

// Channel returns a channel, with its secrets.
func (s *Store) Channel(ctx context.Context, id string) (notice.Channel, error) {
	c, err := s.scanChannel(s.db.Reader().QueryRowContext(ctx, "SELECT "+channelColumns+" FROM notice_channels WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return notice.Channel{}, notFound("channel", id)
	}
	return c, failed("read channel", err)
}

// SaveChannel adds or replaces a channel. Its waiting deliveries are retried at once,
// because the change may fix them. The ledger is readable by its owner only from then on.
func (s *Store) SaveChannel(ctx context.Context, c notice.Channel) error {
	if err := s.secure(); err != nil {
		return failed("save channel", err)
	}
	if len(c.Lost) > 0 {
		return fault.Invalid(c.Lost[0], "cannot be read any more, because its key is lost; set it again")
	}
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	address, secret, sealed, err := s.seal(c)
	if err != nil {
		return failed("save channel", err)
	}
	key, err := s.fingerprintKey(ctx)
	if err != nil {
		return err
	}
	return failed("save channel", s.change(ctx, func(tx *sqlite.Tx) (any, any, error) {
		before, err := s.scanChannel(tx.QueryRowContext(ctx, "SELECT "+channelColumns+" FROM notice_channels WHERE id = ?", c.ID))
		known := err == nil
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, nil, err
		}
		_, err = tx.ExecContext(ctx, upsert("notice_channels", channelColumns, "id"),
			c.ID, c.Kind, c.Enabled, c.Language, address, secret, sealed, string(body), stamp(tx.Now))
		if err != nil {
			return nil, nil, err
		}
		var was any // nil if it is new
		if known {
			was = shownChannel(before, key)
		}
		return was, shownChannel(c, key), retryNow(ctx, tx, c.ID)
	}))
}

// shownChannel is a channel as the audit trail stores it: with fingerprints instead of
// secrets, so that a changed secret is a change.
func shownChannel(c notice.Channel, key []byte) any {
	return struct {
		ID                string             `json:"channelId"`
		Kind              notice.ChannelKind `json:"kind"`
		Enabled           bool               `json:"enabled"`
		Language          notice.Language    `json:"language"`
		Where             string             `json:"where"`
		URLFingerprint    string             `json:"urlFingerprint,omitempty"`
		SecretFingerprint string             `json:"secretFingerprint,omitempty"`
		notice.Channel
	}{c.ID, c.Kind, c.Enabled, c.Language, c.Where(), fingerprint(key, c.URL), fingerprint(key, c.Secret), c}
}

func retryNow(ctx context.Context, tx *sqlite.Tx, channel string) error {
	_, err := tx.ExecContext(ctx, "UPDATE notice_deliveries SET next_at = ? WHERE channel_id = ? AND state = 'pending'", stamp(tx.Now), channel)
	return err
}

// RetryChannel makes the waiting deliveries of a channel due at once.
func (s *Store) RetryChannel(ctx context.Context, id string) error {
	return failed("retry channel", s.db.Write(ctx, func(tx *sqlite.Tx) error { return retryNow(ctx, tx, id) }))
}

// DeleteChannel deletes a channel, its secrets and its deliveries.
func (s *Store) DeleteChannel(ctx context.Context, id string) error {
	key, err := s.fingerprintKey(ctx)
	if err != nil {
		return err
	}
	return failed("delete channel", s.change(ctx, func(tx *sqlite.Tx) (any, any, error) {
		before, err := s.scanChannel(tx.QueryRowContext(ctx, "SELECT "+channelColumns+" FROM notice_channels WHERE id = ?", id))
		if errors.Is(err, sql.ErrNoRows) {
			return nil, nil, notFound("channel", id)
		}
		if err != nil {
			return nil, nil, err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM notice_channels WHERE id = ?", id)
		return shownChannel(before, key), nil, err
	}))
}

// Fingerprint is a keyed digest of a secret: equal for equal texts in one ledger, and
// useless elsewhere. Empty for an empty text.
func (s *Store) Fingerprint(ctx context.Context, secret notice.Secret) (string, error) {
	key, err := s.fingerprintKey(ctx)
	if err != nil {
		return "", err
	}
	return fingerprint(key, secret), nil
}

func (s *Store) fingerprintKey(ctx context.Context) (key []byte, err error) {
	err = s.db.Reader().QueryRowContext(ctx, "SELECT key FROM notice_key WHERE id = 1").Scan(&key)
	return key, failed("read the key of fingerprints", err)
}

func fingerprint(key []byte, secret notice.Secret) string {
	if secret == "" {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(secret))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

const noticeColumns = "id, topic, kind, date, created_at, whole, pools, changed, late_at"

func scanNotice(row scanner) (n notice.Notice, err error) {
	err = row.Scan(&n.ID, &n.Key, &n.Kind, toDay{&n.Date}, toTime{&n.CreatedAt}, &n.Whole, toJSON{&n.Pools}, toJSON{&n.Changed}, &n.LateAt)
	return n, err
}

// AddNotice stores a notice and a delivery for each enabled channel, in one transaction.
// added is false, and nothing is stored, if a notice with its topic exists.
func (s *Store) AddNotice(ctx context.Context, n notice.Notice) (added bool, err error) {
	pools, err := list(n.Pools)
	if err != nil {
		return false, err
	}
	changed, err := list(n.Changed)
	if err != nil {
		return false, err
	}
	channels, err := s.Channels(ctx)
	if err != nil {
		return false, err
	}
	drill.Point("notice.telling")
	err = s.db.Write(ctx, func(tx *sqlite.Tx) error {
		result, err := tx.ExecContext(ctx, "INSERT INTO notices ("+noticeColumns+") VALUES (?"+strings.Repeat(", ?", strings.Count(noticeColumns, ","))+") ON CONFLICT (topic) DO NOTHING",
			n.ID, n.Key, n.Kind, day(n.Date), stamp(n.CreatedAt), n.Whole, pools, changed, n.LateAt)
		if err != nil {
			return err
		}
		rows, err := result.RowsAffected()
		if err != nil || rows == 0 {
			return err
		}
		added = true
		for _, c := range channels {
			signal, ok := c.Signal(n)
			if !ok || !c.Enabled {
				continue
			}
			// A channel that has just been deleted gets nothing.
			_, err := tx.ExecContext(ctx, `INSERT INTO notice_deliveries (id, notice_id, channel_id, signal, state, attempts, created_at, next_at, error)
			  SELECT ?, ?, id, ?, 'pending', 0, ?, ?, '' FROM notice_channels WHERE id = ?`, NewID(), n.ID, signal, stamp(n.CreatedAt), stamp(n.CreatedAt), c.ID)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && added {
		drill.Point("notice.told")
	}
	return added && err == nil, failed("add notice", err)
}

// AddTest stores a test message with its only delivery, which has ended. Nothing is stored
// if the channel was deleted meanwhile.
func (s *Store) AddTest(ctx context.Context, n notice.Notice, d notice.Delivery) error {
	return failed("add test", s.db.Write(ctx, func(tx *sqlite.Tx) error {
		result, err := tx.ExecContext(ctx, "INSERT INTO notices ("+noticeColumns+`)
		  SELECT ?, ?, ?, NULL, ?, 0, '[]', '[]', '' FROM notice_channels WHERE id = ?`, n.ID, n.Key, n.Kind, stamp(n.CreatedAt), d.ChannelID)
		if err != nil {
			return err
		}
		if rows, err := result.RowsAffected(); err != nil || rows == 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO notice_deliveries ("+deliveryColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			d.ID, n.ID, d.ChannelID, d.Signal, d.State, d.Attempts, stamp(d.CreatedAt), nil, stamp(d.EndedAt), d.Error)
		return err
	}))
}

func (s *Store) queryNotices(ctx context.Context, tail string, args ...any) ([]notice.Notice, error) {
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT "+noticeColumns+" FROM notices "+tail, args...)
	if err != nil {
		return nil, failed("read notices", err)
	}
	defer rows.Close()
	var all []notice.Notice
	for rows.Next() {
		n, err := scanNotice(rows)
		if err != nil {
			return nil, failed("read notices", err)
		}
		all = append(all, n)
	}
	return all, failed("read notices", rows.Err())
}

// NoticesOf lists the notices of a trade date, oldest first.
func (s *Store) NoticesOf(ctx context.Context, d market.Date) ([]notice.Notice, error) {
	return s.queryNotices(ctx, "WHERE date = ? ORDER BY id", day(d))
}

// Notices lists notices, without those for heartbeats only, newest first; before is the ID
// of one: only older ones are listed.
func (s *Store) Notices(ctx context.Context, limit int, before string) ([]notice.Notice, error) {
	return s.queryNotices(ctx, "WHERE kind <> 'started' AND (?1 = '' OR id < ?1) ORDER BY id DESC LIMIT ?2", before, limit)
}

// Notice returns a notice.
func (s *Store) Notice(ctx context.Context, id string) (notice.Notice, error) {
	n, err := scanNotice(s.db.Reader().QueryRowContext(ctx, "SELECT "+noticeColumns+" FROM notices WHERE id = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return notice.Notice{}, notFound("notice", id)
	}
	return n, failed("read notice", err)
}

const deliveryColumns = "id, notice_id, channel_id, signal, state, attempts, created_at, next_at, ended_at, error"

func (s *Store) queryDeliveries(ctx context.Context, tail string, args ...any) ([]notice.Delivery, error) {
	rows, err := s.db.Reader().QueryContext(ctx, "SELECT "+deliveryColumns+" FROM notice_deliveries "+tail, args...)
	if err != nil {
		return nil, failed("read deliveries", err)
	}
	defer rows.Close()
	var all []notice.Delivery
	for rows.Next() {
		var d notice.Delivery
		err := rows.Scan(&d.ID, &d.NoticeID, &d.ChannelID, &d.Signal, &d.State, &d.Attempts, toTime{&d.CreatedAt}, toTime{&d.NextAt}, toTime{&d.EndedAt}, &d.Error)
		if err != nil {
			return nil, failed("read deliveries", err)
		}
		all = append(all, d)
	}
	return all, failed("read deliveries", rows.Err())
}

// NextDeliveries is the oldest waiting delivery of each enabled channel: a later one is not
// sent before it, so that notices arrive in order.
func (s *Store) NextDeliveries(ctx context.Context) ([]notice.Delivery, error) {
	return s.queryDeliveries(ctx, `WHERE id IN (
	  SELECT min(d.id) FROM notice_deliveries d JOIN notice_channels c ON c.id = d.channel_id
	  WHERE d.state = 'pending' AND c.enabled = 1 GROUP BY d.channel_id) ORDER BY id`)
}

// Deliveries lists deliveries, newest first; an empty channel or state means all, and
// before is the ID of one: only older ones are listed.
func (s *Store) Deliveries(ctx context.Context, channel string, state notice.DeliveryState, limit int, before string) ([]notice.Delivery, error) {
	return s.queryDeliveries(ctx, "WHERE (?1 = '' OR channel_id = ?1) AND (?2 = '' OR state = ?2) AND (?3 = '' OR id < ?3) ORDER BY id DESC LIMIT ?4",
		channel, state, before, limit)
}

// SaveDelivery stores the result of an attempt. A delivery that was deleted meanwhile with
// its channel is not stored again.
func (s *Store) SaveDelivery(ctx context.Context, d notice.Delivery) error {
	return s.exec(ctx, "save delivery", "UPDATE notice_deliveries SET state = ?, attempts = ?, next_at = ?, ended_at = ?, error = ? WHERE id = ?",
		d.State, d.Attempts, stamp(d.NextAt), stamp(d.EndedAt), d.Error, d.ID)
}

// noTest is true for a delivery that is not a test.
const noTest = "notice_id NOT IN (SELECT id FROM notices WHERE kind = 'test')"

// ChannelHealth returns the state of each channel, by its name. since limits which given-up
// deliveries count. Failed tests do not count, because nothing was lost.
func (s *Store) ChannelHealth(ctx context.Context, since time.Time) (map[string]notice.Health, error) {
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT channel_id,
	  count(*) FILTER (WHERE state = 'pending'),
	  count(*) FILTER (WHERE state = 'given_up' AND ended_at >= ?1 AND `+noTest+`),
	  min(created_at) FILTER (WHERE state = 'pending' AND attempts > 0),
	  min(next_at) FILTER (WHERE state = 'pending'),
	  max(ended_at) FILTER (WHERE state = 'sent')
	  FROM notice_deliveries GROUP BY channel_id`, stamp(since))
	if err != nil {
		return nil, failed("read the health of channels", err)
	}
	defer rows.Close()
	all := map[string]notice.Health{}
	for rows.Next() {
		var id string
		var h notice.Health
		if err := rows.Scan(&id, &h.Waiting, &h.GivenUp, toTime{&h.FailingSince}, toTime{&h.NextAt}, toTime{&h.SentAt}); err != nil {
			return nil, failed("read the health of channels", err)
		}
		all[id] = h
	}
	if err := rows.Err(); err != nil {
		return nil, failed("read the health of channels", err)
	}
	for id, h := range all {
		err := s.db.Reader().QueryRowContext(ctx, `SELECT error FROM notice_deliveries WHERE channel_id = ?1 AND error <> ''
		  AND (state = 'pending' OR state = 'given_up' AND ended_at >= ?2) AND `+noTest+` ORDER BY id DESC LIMIT 1`, id, stamp(since)).Scan(&h.Error)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, failed("read the health of channels", err)
		}
		all[id] = h
	}
	return all, nil
}

// EndedSince lists the runs of a pool that ended at a time or later, in the order of their
// ends, without runs in the future, which a clock that was ahead made.
func (s *Store) EndedSince(ctx context.Context, pool market.Pool, since time.Time) ([]run.Run, error) {
	return s.queryRuns(ctx, fromDetails+" WHERE pool = ? AND finished_at >= ? AND finished_at <= ? ORDER BY finished_at, id",
		pool, stamp(since), stamp(time.Now().Add(run.ClockSlack)))
}

// DayOf is a finished run with its results for a trade date.
func (s *Store) DayOf(ctx context.Context, r run.Run, d market.Date) (e notice.Ended, err error) {
	e.Run = r
	if r.Outcome != run.Partial && r.Outcome != run.Failed {
		return e, nil
	}
	if e.Day, err = s.dayOf(ctx, r.ID, d); err != nil {
		return e, err
	}
	e.Older, err = s.olderGaps(ctx, r.ID, d)
	return e, err
}

// dayOf are the data partitions of a run that include a day, with what notices need: one
// for all that ended alike, because there may be thousands of symbols.
func (s *Store) dayOf(ctx context.Context, runID string, d market.Date) ([]run.Partition, error) {
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT min(id), dataset, module, repeat, state, verdict, max(issues) FROM run_partitions
	  WHERE run_id = ? AND reference = 0 AND recheck = 0 AND start_date <= ? AND end_date >= ?
	  GROUP BY dataset, module, repeat, state, verdict, json_extract(nullif(issues, ''), '$[0].reason') ORDER BY min(ordinal)`, runID, day(d), day(d))
	if err != nil {
		return nil, failed("read partitions", err)
	}
	defer rows.Close()
	var all []run.Partition
	for rows.Next() {
		var p run.Partition
		if err := rows.Scan(&p.ID, &p.Dataset, &p.Module, &p.Repeat, &p.State, &p.Verdict, toJSON{&p.Issues}); err != nil {
			return nil, failed("read partitions", err)
		}
		all = append(all, p)
	}
	return all, failed("read partitions", rows.Err())
}

// olderGaps are the datasets of earlier days that a run left incomplete.
func (s *Store) olderGaps(ctx context.Context, runID string, d market.Date) ([]notice.Gap, error) {
	rows, err := s.db.Reader().QueryContext(ctx, `SELECT dataset, max(end_date) FROM run_partitions
	  WHERE run_id = ? AND reference = 0 AND recheck = 0 AND end_date < ? AND state <> 'completed' AND (repeat = 0 OR verdict <> '')
	  GROUP BY dataset ORDER BY 2 DESC, 1 LIMIT 3`, runID, day(d))
	if err != nil {
		return nil, failed("read partitions", err)
	}
	defer rows.Close()
	var all []notice.Gap
	for rows.Next() {
		var g notice.Gap
		if err := rows.Scan(&g.Dataset, &g.Date); err != nil {
			return nil, failed("read partitions", err)
		}
		all = append(all, g)
	}
	return all, failed("read partitions", rows.Err())
}

// PruneNotices deletes notices that were sent before a time, with their deliveries.
func (s *Store) PruneNotices(ctx context.Context, before time.Time) error {
	return s.exec(ctx, "prune notices", "DELETE FROM notices WHERE created_at < ?", stamp(before))
}
