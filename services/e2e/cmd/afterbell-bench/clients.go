package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

const (
	// clientCount is the number of slow, stalled and vanishing clients.
	clientCount = 2000
	// wrongKeys is the number of invalid keys per second.
	wrongKeys = 100
	// settleTime is how long the clients run before a measurement.
	settleTime = 3 * time.Second
	// reconnectPause is how long a disconnected client waits.
	reconnectPause = 5 * time.Second
)

// clientsScenario fetches a date again, alternately alone and together with misbehaving clients.
func clientsScenario(ctx context.Context, b *bench, r *round) (err error) {
	if r.filled == "" {
		return errors.New("pair has left nothing to fetch again")
	}
	c, err := b.config(r.filled, 0)
	if err != nil {
		return err
	}
	s, err := stack.New(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	always := orchestratorv1.PreflightPolicy_PREFLIGHT_POLICY_ALWAYS
	if _, err := orchestratorv1.NewSettingsServiceClient(s.Conn).UpdateSettings(ctx, &orchestratorv1.UpdateSettingsRequest{PreflightPolicy: &always}); err != nil {
		return err
	}
	again := b.universe(b.days[0], b.days[0])
	again.Refetch = true
	seconds, cpu := map[string][]float64{}, map[string][]float64{}
	measure := func(name string) error {
		before := cpuSeconds(s.Worker) + cpuSeconds(s.Orchestrator)
		f, err := b.fill(ctx, s, again)
		if err != nil {
			return err
		}
		seconds[name], cpu[name] = append(seconds[name], f.took.Seconds()), append(cpu[name], cpuSeconds(s.Worker)+cpuSeconds(s.Orchestrator)-before)
		return nil
	}
	if _, err := b.fill(ctx, s, again); err != nil { // the first run opens the file
		return err
	}
	const turns = 3
	for range turns {
		if err := measure("alone"); err != nil {
			return err
		}
		crowd, err := gather(ctx, s, r.runs["pair"])
		if err != nil {
			return err
		}
		err = measure("beside")
		if told := crowd.disperse(); err != nil || told != nil {
			return errors.Join(err, told)
		}
		fmt.Fprintf(b.out, "  %s\n", crowd)
	}
	for name := range seconds {
		r.values["clients."+name], _ = middle(seconds[name])
		r.values["clients."+name+"_cpu"], _ = middle(cpu[name])
	}
	// The CPU time of the services, which is more reliable than elapsed time on a busy machine.
	r.values["clients.share"] = (r.values["clients.beside_cpu"] - r.values["clients.alone_cpu"]) / r.values["clients.beside"] / float64(runtime.NumCPU())
	r.values["clients.rss"] = float64(peakMemory(s.Orchestrator))
	fmt.Fprintf(b.out, "  a date fetched again: alone %.2f s, %.2f CPU s; beside %d clients and %d wrong keys a second %.2f s, %.2f CPU s, %.1f %% of the processors more; orchestrator's peak memory %.0f MB\n",
		r.values["clients.alone"], r.values["clients.alone_cpu"], clientCount, wrongKeys, r.values["clients.beside"], r.values["clients.beside_cpu"], r.values["clients.share"]*100, r.values["clients.rss"]/mb)
	return nil
}

// crowd is a number of clients that read and send as little as possible, and reconnect when
// they are disconnected.
type crowd struct {
	rest, grpc string // addresses
	run        string // ID of an existing run
	stop       context.CancelFunc
	all        sync.WaitGroup
	opened     atomic.Int64 // connections
	http       *http.Client // of the wrong keys
	refused    atomic.Int64 // invalid keys that were refused
	accepted   atomic.Int64 // invalid keys that were accepted
}

// String summarizes what the clients did.
func (c *crowd) String() string {
	return fmt.Sprintf("%d connections were opened, %d wrong keys refused", c.opened.Load(), c.refused.Load())
}

// gather starts the clients and returns when each has connected once and the first invalid keys
// were refused.
func gather(ctx context.Context, s *stack.Stack, run string) (*crowd, error) {
	ctx, stop := context.WithCancel(ctx)
	c := &crowd{rest: s.Config.HTTPAddr, grpc: s.Config.GRPCAddr, run: run, stop: stop, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, addr) },
	}}}
	kinds := []func(context.Context, net.Conn) error{c.silent, c.halfHead, c.halfBody, c.stalledStream, c.stalledRows, c.vanish}
	var arrived sync.WaitGroup
	arrived.Add(clientCount)
	for n := range clientCount {
		do, addr := kinds[n%len(kinds)], c.rest
		if n%8 == 7 {
			do, addr = c.silentGRPC, c.grpc
		}
		c.all.Go(func() {
			there := sync.OnceFunc(arrived.Done)
			defer there()
			for ctx.Err() == nil {
				c.once(ctx, addr, do, there)
				pause(ctx, reconnectPause)
			}
		})
	}
	conn, err := grpc.NewClient(c.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
	if err != nil {
		stop()
		return nil, err
	}
	c.all.Go(func() {
		defer conn.Close()
		c.guess(ctx, orchestratorv1.NewRunServiceClient(conn))
	})
	arrived.Wait()
	for c.refused.Load() < wrongKeys/2 && ctx.Err() == nil && c.accepted.Load() == 0 {
		pause(ctx, 10*time.Millisecond)
	}
	pause(ctx, settleTime)
	return c, ctx.Err()
}

// disperse stops the clients. It returns an error if an invalid key was accepted.
func (c *crowd) disperse() error {
	c.stop()
	c.all.Wait()
	c.http.CloseIdleConnections()
	if n := c.accepted.Load(); n > 0 {
		return fmt.Errorf("%d wrong keys were not refused", n)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// dial connects from an address other than the bench's: callers without a key are identified by
// their address, and the bench must count as another caller.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	from := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	return from.DialContext(ctx, "tcp", addr)
}

// once opens a connection and uses it until it is closed or ctx ends.
func (c *crowd) once(ctx context.Context, addr string, do func(context.Context, net.Conn) error, there func()) {
	conn, err := dial(ctx, addr)
	if err != nil {
		there()
		return
	}
	defer func() { _ = conn.Close() }() // it may be closed already
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c.opened.Add(1)
	there()
	_ = do(ctx, conn) // the error is expected: the server closes the connection
}

// wait waits for the end of a connection.
func wait(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

// stall reads a little, and then nothing until it is disconnected.
func stall(ctx context.Context, conn net.Conn) error {
	if _, err := bufio.NewReaderSize(conn, 64).ReadByte(); err != nil {
		return err
	}
	pause(ctx, time.Minute)
	return nil
}

func (c *crowd) silent(_ context.Context, conn net.Conn) error { return wait(conn) }

func (c *crowd) silentGRPC(_ context.Context, conn net.Conn) error {
	if _, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil { // with an empty SETTINGS frame
		return err
	}
	return wait(conn)
}

func (c *crowd) halfHead(_ context.Context, conn net.Conn) error {
	if _, err := io.WriteString(conn, "GET /v1/runs HTTP/1.1\r\nHost: localhost\r\nX-Half: "); err != nil {
		return err
	}
	return wait(conn)
}

func (c *crowd) halfBody(_ context.Context, conn net.Conn) error {
	if _, err := io.WriteString(conn, "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
		return err
	}
	return wait(conn)
}

func (c *crowd) get(conn net.Conn, path string) error {
	_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")
	return err
}

func (c *crowd) stalledStream(ctx context.Context, conn net.Conn) error {
	return errors.Join(c.get(conn, "/v1/runs/"+c.run+":watch"), stall(ctx, conn))
}

func (c *crowd) stalledRows(ctx context.Context, conn net.Conn) error {
	return errors.Join(c.get(conn, "/v1/data/daily_prices.csv"), stall(ctx, conn))
}

func (c *crowd) vanish(_ context.Context, conn net.Conn) error { return c.get(conn, "/v1/runs") }

// guess sends invalid keys, each one different, alternately over REST and gRPC.
func (c *crowd) guess(ctx context.Context, runs orchestratorv1.RunServiceClient) {
	tick := time.NewTicker(time.Second / wrongKeys)
	defer tick.Stop()
	var calls sync.WaitGroup
	defer calls.Wait()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		key := fmt.Sprintf("abk_%s_%052d", strings.Repeat("a", 10), n)
		calls.Go(func() {
			var err error
			if n%2 == 0 {
				err = c.guessREST(ctx, key)
			} else {
				_, err = runs.ListRuns(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key), &orchestratorv1.ListRunsRequest{})
			}
			switch {
			case ctx.Err() != nil:
			case err == nil:
				c.accepted.Add(1)
			default:
				c.refused.Add(1)
			}
		})
	}
}

func (c *crowd) guessREST(ctx context.Context, key string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.rest+"/v1/runs", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, resp.Body) // so that the connection is reused
		return errors.New(resp.Status)
	}
	return nil
}
