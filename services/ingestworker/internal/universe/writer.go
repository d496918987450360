package universe

import (
	"errors"
	"log/slog"
	"runtime"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/lockfile"
)

// writer owns the file. Everything in it happens in one goroutine.
type writer struct {
	sink   *Sink
	cfg    Config
	faults pool.Faults
	index  *index
	log    *slog.Logger

	lock    *lockfile.Lock
	file    *duck // nil while the file is closed
	watch   *pool.Watch
	source  string
	lastUse time.Time
	dirty   int // rows since the last checkpoint
	// nextRevision is the number of the next revision.
	nextRevision int64
}

func (w *writer) run() {
	// DuckDB's allocator keeps memory for each thread. Calls that move between threads
	// leave some in each of them, a tenth of what a fill takes.
	runtime.LockOSThread()
	if w.cfg.First {
		if err := goFirst(); err != nil { // fills are slower
			w.log.Warn("the writer has no priority over other threads", "error", err)
		}
	}
	defer close(w.sink.ended)
	idle := time.NewTimer(w.cfg.Idle) // runs while the file is open
	defer idle.Stop()
	waiting := true
	var held *request // taken from the queue while a group was collected
	for {
		if w.file != nil && !waiting {
			idle.Reset(max(w.cfg.Idle-time.Since(w.lastUse), w.cfg.Idle/8))
			waiting = true
		}
		next := held
		held = nil
		if next == nil {
			select {
			case next = <-w.sink.queue:
			case <-idle.C:
				waiting = false
				w.releaseIdle()
				continue
			case <-w.sink.closing:
				w.drain()
				w.release()
				if err := w.lock.Release(); err != nil {
					w.log.Warn("the lock could not be released", "error", err)
				}
				return
			}
		}
		if next.commit == nil {
			w.runJob(next)
			continue
		}
		var group []*request
		group, held = w.gather(next)
		w.commit(group)
	}
}

// gather takes the waiting requests, up to the size of a group. The first request that is
// not a commit ends it.
func (w *writer) gather(first *request) (group []*request, held *request) {
	group, rows := []*request{first}, rowsOf(first)
	for len(group) < w.cfg.GroupPartitions && rows < w.cfg.GroupRows {
		select {
		case r := <-w.sink.queue:
			if r.commit == nil {
				return group, r
			}
			group = append(group, r)
			rows += rowsOf(r)
		default:
			return group, nil
		}
	}
	return group, nil
}

func rowsOf(r *request) int {
	if r.commit.Batch == nil {
		return 0
	}
	return r.commit.Batch.Len
}

// drain completes the work in progress when the sink is closed.
func (w *writer) drain() {
	for {
		select {
		case r := <-w.sink.queue:
			if r.commit == nil {
				w.runJob(r)
				continue
			}
			w.commit([]*request{r})
		default:
			return
		}
	}
}

func (w *writer) runJob(r *request) {
	if !r.ticket.Begin() {
		return
	}
	r.err = r.job(w)
	close(r.done)
}

// releaseIdle closes the file if it was not used for the idle time.
func (w *writer) releaseIdle() {
	if w.file != nil && time.Since(w.lastUse) >= w.cfg.Idle {
		w.release()
	}
}

// release checkpoints the log and closes the file, so that other programs can open it.
func (w *writer) release() {
	if w.file == nil {
		return
	}
	w.checkpoint()
	w.shut()
}

// shut closes the file without a checkpoint; the log is replayed when it is next opened.
func (w *writer) shut() {
	if w.file == nil {
		return
	}
	fate := w.watch.FileState()
	w.file.close()
	w.file = nil
	if fate == pool.Same { // otherwise it is unknown yet whether the file was replaced
		w.watch.Closed()
	}
}

// checkpoint writes the log to the file. If it fails, nothing is lost: the log is replayed
// when the file is next opened. Commits wait for it: DuckDB 1.5.6 allows them beside a
// checkpoint of another connection, and then crashed in fills of three years.
func (w *writer) checkpoint() {
	if w.dirty == 0 {
		return
	}
	if w.faults.Room(w.cfg.MinFree) != nil {
		return
	}
	began := time.Now()
	drill.Point("universe.checkpoint")
	if err := w.file.exec("CHECKPOINT"); err != nil {
		w.log.Warn("checkpoint failed; it is repeated when the file is opened next", "error", err)
		w.abandon(err)
		return
	}
	w.watch.Worked()
	w.log.Debug("checkpoint", "rows", w.dirty, "took", time.Since(began))
	w.dirty = 0
}

// abandon closes an instance that DuckDB has invalidated; the next use opens the file
// again.
func (w *writer) abandon(err error) {
	var e *duckError
	if errors.As(err, &e) && e.fatal {
		w.shut()
	}
}

// failure turns DuckDB's error of reading or writing rows into a fault.
func (w *writer) failure(err error) error {
	var e *duckError
	if errors.As(err, &e) && e.full() || pool.IsFull(err) {
		return w.faults.Full(err, w.cfg.MinFree)
	}
	if e != nil && e.damaged() {
		return w.faults.Unfit(err, "it is damaged: "+w.words(err))
	}
	return w.faults.Failed(err, w.words(err))
}
