package main

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// publishedFaults are the drills of the copy for readers. The pools' files are compared with the
// provider at the end, as after each drill.
func publishedFaults() []drill {
	var all []drill
	for _, p := range []struct{ name, what, point string }{
		{"copying", "before the pool's file is copied", "publish.copy"},
		{"parquet", "before the Parquet files are written", "publish.parquet"},
		{"writing", "while the Parquet files are written", "publish.parquet:1:30ms"},
		{"manifest", "before the manifest is written", "publish.manifest"},
		{"swap", "before the new version becomes the current one", "publish.swap"},
		{"swapped", "after it became the current one", "publish.swapped"},
	} {
		all = append(all, drill{
			name: "publish-kill-" + p.name, fault: "kill -9 of the worker while publishing, " + p.what,
			expect: "readers have the old version or the new one, whole; the same run publishes after the restart", do: func(r *harness) { diesPublishing(r, p.point) },
		})
	}
	return append(all,
		drill{
			name: "publish-disk-full", fault: "volume full under published/, before and while publishing",
			expect: "the run says so, readers keep the old version; the next run with room publishes", do: publishedVolumeFull,
		},
		drill{
			name: "published-deleted", fault: "published/ deleted while it is read",
			expect: "whoever has a file open reads on; the next run makes the copy anew and says so", do: publishedDeleted,
		},
	)
}

func (r *harness) publishedDir() string { return filepath.Join(r.workerDir(), "published") }

// earlier is a request for a part of the dates, so that the next run has something to publish.
func earlier() *orchestratorv1.CreateRunRequest {
	return &orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{inUniverse}, EndDate: "2026-03-12"}
}

// diesPublishing publishes a first part of the pool, and kills the worker while it publishes the
// rest.
func diesPublishing(r *harness, point string) {
	r.start("")
	for _, id := range r.request(earlier()) {
		r.want(r.ended(id), succeeded)
	}
	before := r.publishedWhole()
	r.term(r.stack.Worker, stopGrace)
	r.startWorker(point)
	ids := r.create(inUniverse)
	r.died(r.stack.Worker, time.Minute)
	killed := r.publishedWhole()
	r.free()
	r.startWorker("")
	for _, id := range ids {
		run := r.ended(id)
		r.want(run, succeeded)
		for _, issue := range run.GetIssues() {
			if reason := reasonName(issue.GetReason().String()); reason == "PUBLICATION_FAILED" {
				r.failf("the run says %s: %s", reason, issue.GetMessage())
			}
		}
	}
	after := r.publishedWhole()
	if r.err != nil {
		return
	}
	if killed.version < before.version || after.version <= before.version || after.rows <= before.rows {
		r.failf("versions %s, %s, %s with %d, %d, %d rows", before.version, killed.version, after.version, before.rows, killed.rows, after.rows)
	}
	r.tell("%d rows, then %d as it was killed, then %d", before.rows, killed.rows, after.rows)
	entries, err := os.ReadDir(filepath.Join(r.publishedDir(), "versions"))
	if r.must(err); len(entries) > 2 {
		r.failf("%d versions are left, and 2 are kept", len(entries))
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			r.failf("%s is left", e.Name())
		}
	}
}

// publishedVolumeFull keeps published/ on a small volume.
func publishedVolumeFull(r *harness) {
	if !r.volume(r.publishedDir(), 96) {
		return
	}
	r.start("")
	for _, id := range r.request(earlier()) {
		r.want(r.ended(id), succeeded)
	}
	before := r.publishedWhole()
	for _, point := range []string{"publish.copy", "publish.parquet", "publish.manifest"} {
		goOn := r.hold(point)
		ids := r.create(inUniverse)
		r.until("publishing did not come to "+point, time.Minute, func() bool { return fileExists(filepath.Join(r.dir, point+".reached")) })
		ballast := r.fill(r.publishedDir())
		goOn()
		for _, id := range ids {
			run := r.ended(id)
			r.wantReason(run, unchangedOr(run), "PUBLICATION_FAILED")
		}
		if now := r.publishedWhole(); now != before {
			r.failf("%s is current with the volume full from %s on, and was %s", now.version, point, before.version)
		}
		r.must(os.Remove(ballast))
	}
	ballast := r.fill(r.publishedDir())
	for _, id := range r.create(inUniverse) { // it has no space to start
		run := r.ended(id)
		r.wantReason(run, unchangedOr(run), "PUBLICATION_FAILED")
	}
	r.must(os.Remove(ballast))
	r.free()
	for _, id := range r.create(inUniverse) {
		run := r.ended(id)
		r.want(run, unchangedOr(run))
	}
	if after := r.publishedWhole(); r.err == nil && (after.version <= before.version || after.rows <= before.rows) {
		r.failf("with room again %s is current, with %d rows", after.version, after.rows)
	}
}

// publishedDeleted deletes the copy while one reader has a file of it open and another reads over
// REST.
func publishedDeleted(r *harness) {
	r.start("")
	r.both()
	before := r.publishedWhole()
	holder, err := sql.Open("duckdb", filepath.Join(r.publishedDir(), "universe.duckdb")+"?access_mode=READ_ONLY")
	if r.must(err); err != nil {
		return
	}
	defer holder.Close()
	count := func() (n int64) {
		r.must(holder.QueryRowContext(r.ctx, "SELECT count(*) FROM daily_prices").Scan(&n))
		return n
	}
	held := count()
	if code := r.read(); code != http.StatusOK {
		r.failf("a read answers %d", code)
	}
	r.must(os.RemoveAll(r.publishedDir()))
	// The worker may still have the version open; it returns that version or NOT_FOUND.
	if code := r.read(); r.err == nil && code != http.StatusOK && code != http.StatusNotFound {
		r.failf("a read while nothing is published answers %d", code)
	}
	if now := count(); now != held {
		r.failf("the reader that had the file open sees %d rows, and saw %d", now, held)
	}
	r.free()
	for _, id := range r.create() {
		run := r.ended(id)
		r.wantReason(run, unchangedOr(run), "PUBLICATION_REPAIRED")
	}
	if after := r.publishedWhole(); r.err == nil && (after.version <= before.version || after.rows != before.rows) {
		r.failf("%s with %d rows came after %s with %d", after.version, after.rows, before.version, before.rows)
	}
	if code := r.read(); r.err == nil && code != http.StatusOK {
		r.failf("a read after the repair answers %d", code)
	}
}

// read reads a table over REST and returns the status code.
func (r *harness) read() int {
	if r.err != nil {
		return 0
	}
	resp, err := http.Get("http://" + r.stack.Config.HTTPAddr + "/v1/data/daily_prices.csv")
	if r.must(err); err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	r.must(err)
	return resp.StatusCode
}

// publication returns the current version for readers.
type publication struct {
	version string
	rows    int64
}

// publishedWhole opens the published files as a reader does, and checks each against the manifest.
func (r *harness) publishedWhole() (p publication) {
	if r.err != nil {
		return p
	}
	text, err := os.ReadFile(filepath.Join(r.publishedDir(), "manifest.json"))
	if r.must(err); err != nil {
		return p
	}
	var m struct {
		Version string
		Files   []struct{ Path, SHA256 string }
		Tables  []struct {
			Name string
			Rows int64
		}
	}
	if err := json.Unmarshal(text, &m); err != nil {
		r.must(fmt.Errorf("manifest.json: %w", err))
		return p
	}
	p.version = m.Version
	for _, f := range m.Files {
		data, err := os.ReadFile(filepath.Join(r.publishedDir(), filepath.FromSlash(f.Path)))
		sum := sha256.Sum256(data)
		if err != nil || hex.EncodeToString(sum[:]) != f.SHA256 {
			r.failf("%s of version %s is not the file of the manifest: %v", f.Path, m.Version, err)
		}
	}
	db, err := sql.Open("duckdb", filepath.Join(r.publishedDir(), "universe.duckdb")+"?access_mode=READ_ONLY")
	if r.must(err); err != nil {
		return p
	}
	defer db.Close()
	for _, t := range m.Tables {
		var n int64
		r.must(db.QueryRowContext(r.ctx, "SELECT count(*) FROM "+t.Name).Scan(&n))
		if n != t.Rows {
			r.failf("%s of version %s has %d rows, and %d by the manifest", t.Name, m.Version, n, t.Rows)
		}
		p.rows += n
	}
	return p
}
