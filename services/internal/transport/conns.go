package transport

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// mostConnections is how many connections a listener has open at most.
const mostConnections = 8192

// connectionLimit leaves most of the process's files to its own work: without a file left,
// no database opens and no evening runs.
func connectionLimit() int {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil {
		return mostConnections
	}
	return int(min(mostConnections, max(files.Cur/4, 16)))
}

// boundedListener closes connections beyond a limit at once. Left waiting, they would fill
// the queue of the kernel, and nobody could tell why.
type boundedListener struct {
	net.Listener
	limit int64
	log   *slog.Logger
	open  atomic.Int64
	told  time.Time // of the last line about it; of Accept's goroutine
}

func bound(lis net.Listener, limit int, log *slog.Logger) net.Listener {
	return &boundedListener{Listener: lis, limit: int64(limit), log: log}
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.limit {
			return &countedConn{Conn: conn, end: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		_ = conn.Close() // whoever it is has to come again
		if now := time.Now(); now.Sub(l.told) >= time.Minute {
			l.told = now
			l.log.Warn("as many connections are open as this listener accepts; further ones are closed", "addr", l.Addr().String(), "limit", l.limit)
		}
	}
}

type countedConn struct {
	net.Conn
	end func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	c.end()
	return c.Conn.Close()
}
