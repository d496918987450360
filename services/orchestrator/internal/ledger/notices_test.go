package ledger

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
)

// What is kept of channels, notices and deliveries comes back as it was, over a restart.
func TestNoticesAreKept(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), FileName)
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	mail := notice.Channel{ID: "mail", Kind: notice.Mail, Enabled: true, Language: notice.Chinese, Secret: "pw", Host: "smtp.test", Port: 587, User: "u", From: "a@b.test", To: []string{"c@d.test"}}
	beat := notice.Channel{ID: "beat", Kind: notice.Heartbeat, Enabled: true, Language: notice.English, URL: "https://hc.test/x", Post: true}
	off := notice.Channel{ID: "off", Kind: notice.Slack, Language: notice.English, URL: "https://slack.test/x"}
	for _, c := range []notice.Channel{mail, beat, off} {
		if err := s.SaveChannel(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Now().UTC().Truncate(time.Millisecond)
	n := notice.Notice{
		ID: NewID(), Key: "evening/2026-11-27", Kind: notice.Evening, Date: market.NewDate(2026, 11, 27), CreatedAt: at, Changed: []market.Pool{market.Universe},
		Pools: []notice.PoolState{{Pool: market.Universe, Verdict: notice.Lacking, Lacks: []notice.Lack{{Dataset: "moneyflow", Reason: fault.NotPublished}}, NextAt: at.Add(time.Hour)}},
	}
	if added, err := s.AddNotice(ctx, n); err != nil || !added {
		t.Fatalf("added %v, %v", added, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil { // as a copy might have it
		t.Fatal(err)
	}
	if s, err = Open(ctx, Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	channels, err := s.Channels(ctx)
	if diff := cmp.Diff([]notice.Channel{beat, mail, off}, channels); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	got, err := s.Notice(ctx, n.ID)
	if diff := cmp.Diff(n, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	// The heartbeat does not ask for failures, and the third one is off: one delivery.
	due, err := s.NextDeliveries(ctx)
	if err != nil || len(due) != 1 || due[0].ChannelID != "mail" || due[0].State != notice.ToSend || !due[0].NextAt.Equal(at) {
		t.Fatalf("%+v, %v", due, err)
	}
	twice := n
	twice.ID = NewID()
	if added, err := s.AddNotice(ctx, twice); err != nil || added {
		t.Errorf("the same topic again: %v, %v", added, err)
	}
	later := n
	later.ID, later.Key, later.Kind, later.Whole = NewID(), "change/2026-11-27/1", notice.Better, true
	if added, err := s.AddNotice(ctx, later); err != nil || !added {
		t.Errorf("another topic: %v, %v", added, err)
	}
	if due, err = s.NextDeliveries(ctx); err != nil || len(due) != 2 { // of each channel the oldest
		t.Errorf("%+v, %v", due, err)
	}
	// Deleting a channel takes what waits for it along.
	if err := s.DeleteChannel(ctx, "mail"); err != nil {
		t.Fatal(err)
	}
	left, err := s.Deliveries(ctx, "", "", 10, "")
	if err != nil || len(left) != 1 || left[0].ChannelID != "beat" {
		t.Errorf("%+v, %v", left, err)
	}
	if err := s.PruneNotices(ctx, at.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if told, err := s.NoticesOf(ctx, n.Date); err != nil || len(told) != 0 {
		t.Errorf("pruned: %+v, %v", told, err)
	}
	a, err1 := s.Fingerprint(ctx, "one")
	b, err2 := s.Fingerprint(ctx, "two")
	if err1 != nil || err2 != nil || a == b || len(a) != 16 {
		t.Errorf("fingerprints %s %s, %v %v", a, b, err1, err2)
	}
}

// A migration rewrites the tables of notices. The sent and the waiting notices of an older ledger are
// unchanged.
func TestNoticesOfAnOlderLedger(t *testing.T) {
	path := older(t, "0012",
		`INSERT INTO notice_channels (id, kind, enabled, language, url, secret, body, changed_at) VALUES ('beat', 'heartbeat', 1, 'en', 'https://hc.test/x', '', '{}', 1)`,
		`INSERT INTO notices (id, topic, kind, date, created_at, whole, pools, changed, late_at) VALUES
		  ('a', 'evening/2026-11-26', 'evening', '2026-11-26', 1000, 1, '[]', '["universe"]', ''), ('b', 'late/2026-11-27', 'late', '2026-11-27', 2000, 0, '[]', '[]', '22:00')`,
		`INSERT INTO notice_deliveries (id, notice_id, channel_id, signal, state, attempts, created_at, next_at, ended_at, error) VALUES
		  ('c', 'a', 'beat', '/start', 'sent', 2, 1000, NULL, 1500, ''), ('d', 'b', 'beat', '', 'pending', 3, 2000, 9000, NULL, 'no route')`)
	s := must(Open(t.Context(), Config{Path: path}))(t)
	defer s.Close()
	ms := time.UnixMilli
	want := []notice.Delivery{
		{ID: "d", NoticeID: "b", ChannelID: "beat", State: notice.ToSend, Attempts: 3, CreatedAt: ms(2000), NextAt: ms(9000), Error: "no route"},
		{ID: "c", NoticeID: "a", ChannelID: "beat", Signal: "/start", State: notice.Sent, Attempts: 2, CreatedAt: ms(1000), EndedAt: ms(1500)},
	}
	if diff := cmp.Diff(want, must(s.Deliveries(t.Context(), "", "", 10, ""))(t)); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	told := must(s.Notices(t.Context(), 10, ""))(t)
	if len(told) != 2 || told[0].LateAt != "22:00" || told[1].Date != market.NewDate(2026, 11, 26) || told[1].Changed[0] != market.Universe {
		t.Errorf("reported: %+v", told)
	}
	if err := s.PruneNotices(t.Context(), ms(1001)); err != nil { // the reference between the tables holds
		t.Fatal(err)
	}
	if left := must(s.Deliveries(t.Context(), "", "", 10, ""))(t); len(left) != 1 || left[0].ID != "d" {
		t.Errorf("after pruning: %+v", left)
	}
}
