package gate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const slice = 5 * time.Millisecond

// stay is a slice of a reader, who may give up meanwhile.
func stay(t *testing.T, ctx context.Context, g *Gate) bool {
	p, err := g.Enter(ctx)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a reader was refused: %v", err)
		}
		return false
	}
	time.Sleep(slice)
	p.Leave()
	return true
}

// readers read slice after slice until stop is called, which returns how many each got.
func readers(t *testing.T, g *Gate, n int) (stop func() []int) {
	ctx, cancel := context.WithCancel(t.Context())
	got := make([]int, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for stay(t, ctx, g) {
				got[i]++
			}
		})
	}
	return func() []int { cancel(); all.Wait(); return got }
}

func sum(got []int) (n int) {
	for _, x := range got {
		n += x
	}
	return n
}

// Outside of runs as many slices are made at once as the gate has room for.
func TestReadersFillTheMachineOutsideOfRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		g.slots = 3
		stop := readers(t, g, 50)
		time.Sleep(10 * time.Second)
		if n, want := sum(stop()), int(3*10*time.Second/slice); n < want || n > want+50 {
			t.Errorf("%d slices, want %d", n, want)
		}
	})
}

// While the worker works, fifty readers together get a twentieth of a processor, each as much
// as the others, and all of it again as soon as the run has ended.
func TestReadersYieldToRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		g.slots = 2
		work := g.Begin()
		stop := readers(t, g, 50)
		time.Sleep(100 * time.Second)
		if n, waited := g.Waiting(); n < 49 || waited < 40*100*time.Second {
			t.Errorf("%d readers wait, and %v was waited", n, waited)
		}
		got := stop()
		if n, want := sum(got), int(100*time.Second/share/slice); n < want*9/10 || n > want*11/10 {
			t.Errorf("%d slices, want %d", n, want)
		}
		if slices.Max(got)-slices.Min(got) > 1 {
			t.Errorf("one reader had %d slices, another %d", slices.Max(got), slices.Min(got))
		}
		stop = readers(t, g, 50)
		work.Last()
		began := time.Now()
		time.Sleep(time.Second)
		if n, want := sum(stop()), int(2*time.Since(began)/slice); n < want*9/10 {
			t.Errorf("%d slices after the run, want %d", n, want)
		}
	})
}

// A slice that uses two processors counts twice, also after others were admitted in between.
func TestSliceOnTwoProcessorsCountsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		defer g.Begin().End()
		p, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Leave()
		p.Use(2)
		began := time.Now()
		const parts = 100
		for range parts / 2 {
			time.Sleep(slice)
			if err := p.Rest(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(slice)
			if err := p.Next(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if took, want := time.Since(began), 2*share*parts*slice; took < want*9/10 || took > want*11/10 {
			t.Errorf("%d parts took %v, want %v", parts, took, want)
		}
	})
}

// A single reader does not wait for its first slices, even during a run.
func TestShortAnswerDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		defer g.Begin().End()
		time.Sleep(time.Second)
		began := time.Now()
		for range 4 {
			stay(t, t.Context(), g)
		}
		if took := time.Since(began); took != 4*slice {
			t.Errorf("four slices took %v", took)
		}
	})
}

// A slice that takes long holds the next one up for a second at most; work that calls
// Next between its parts lets others in.
func TestLongSlicesStopNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		defer g.Begin().End()
		long, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		long.Leave()
		left := time.Now()
		p, err := g.Enter(t.Context())
		if took := time.Since(left); err != nil || took > time.Second {
			t.Errorf("the next one waited for %v, %v", took, err)
		}
		stop := readers(t, g, 1)
		synctest.Wait()
		for range 10 {
			time.Sleep(slice)
			if err := p.Next(t.Context()); err != nil {
				t.Error(err)
			}
		}
		p.Leave()
		if got := stop(); got[0] < 9 {
			t.Errorf("the other one had %d slices meanwhile", got[0])
		}
	})
}

// Readers yield between the calls of a run, and no longer than shortly after the last.
func TestYieldingOutlastsThePausesOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		g.Begin().End()
		time.Sleep(linger - time.Millisecond)
		if !g.Yields() {
			t.Error("readers do not yield between two calls")
		}
		work := g.Begin()
		time.Sleep(time.Minute)
		work.Pause(true) // it waits for the provider's limit
		work.Pause(true)
		time.Sleep(linger + time.Millisecond)
		if g.Yields() {
			t.Error("readers yield to work that waits")
		}
		work.Pause(false)
		other := g.Begin()
		other.Last()
		if !g.Yields() {
			t.Error("readers do not yield to the work that is left")
		}
		work.End()
		work.End()
		g.Begin().Last()
		if g.Yields() {
			t.Error("readers yield after the end of the run")
		}
		if g.works != 0 {
			t.Errorf("%d works are left", g.works)
		}
	})
}

// A reader that gives up while it waits, or just when it is let in, leaves its place to
// the next.
func TestReaderThatGivesUpHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		work := g.Begin()
		ctx, cancel := context.WithCancel(t.Context())
		stop := readers(t, g, 3)
		var gone sync.WaitGroup
		for range 20 {
			gone.Go(func() {
				for stay(t, ctx, g) {
				}
			})
		}
		time.Sleep(3*time.Second + slice/2) // one of them is inside, or is just let in
		cancel()
		gone.Wait()
		time.Sleep(10 * time.Second)
		if got, want := stop(), int(10*time.Second/(share*slice)/3); slices.Min(got) < want*9/10 {
			t.Errorf("those left had %v slices, want %d each", got, want)
		}
		work.End()
		if n, _ := g.Waiting(); n != 0 || g.inside != 0 {
			t.Errorf("%d wait, %d are inside", n, g.inside)
		}
		if _, err := g.Enter(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("who has gone already: %v", err)
		}
	})
}

// A slice that is in progress when a run begins pauses at once, and continues at full speed when
// the run has ended.
func TestSliceInProgressRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		p, err := g.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Leave()
		part := func() time.Duration {
			began := time.Now()
			time.Sleep(slice)
			if err := p.Rest(t.Context()); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		if took := part(); took != slice {
			t.Errorf("outside of runs a part takes %v", took)
		}
		work := g.Begin()
		for range 10 {
			if took := part(); took != share*slice {
				t.Errorf("during a run a part takes %v", took)
			}
		}
		go func() {
			time.Sleep(3 * slice)
			work.Last()
		}()
		if took := part(); took != 3*slice {
			t.Errorf("the part in which the run ends takes %v", took)
		}
		if took := part(); took != slice {
			t.Errorf("after the run a part takes %v", took)
		}
		defer g.Begin().End()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		time.Sleep(slice)
		if err := p.Rest(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a reader that is gone rests with %v", err)
		}
	})
}
