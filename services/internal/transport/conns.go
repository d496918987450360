package transport

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// mostConnections is the largest number of connections of a listener.
const mostConnections = 8192

// connectionLimit leaves most of the process's file descriptors to its own work: without
// one, no database opens and no run starts.
func connectionLimit() int {
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) != nil {
		return mostConnections
	}
	return int(min(mostConnections, max(files.Cur/4, 16)))
}

// boundedListener closes connections over a limit at once. If they waited, they would fill
// the kernel's queue, and the cause would be invisible.
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
		_ = conn.Close() // the client must try again
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
