package main

import (
	"io"
	"net"
	"sync"
)

// relay forwards connections to an address, and can close all of them.
type relay struct {
	listener net.Listener
	mu       sync.Mutex
	target   string
	open     map[net.Conn]bool
}

func newRelay(target string) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, target: target, open: map[net.Conn]bool{}}
	go r.accept()
	return r, nil
}

func (r *relay) addr() string { return r.listener.Addr().String() }

func (r *relay) accept() {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = in.Close() // the caller sees a closed connection
			continue
		}
		r.mu.Lock()
		r.open[in], r.open[out] = true, true
		r.mu.Unlock()
		go r.pass(in, out)
		go r.pass(out, in)
	}
}

func (r *relay) pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // then both sides are closed, whatever the error
	_, _ = to.Close(), from.Close()
	r.mu.Lock()
	delete(r.open, to)
	delete(r.open, from)
	r.mu.Unlock()
}

// cut closes all connections; new ones are forwarded.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		_ = c.Close() // pass notices
	}
}

func (r *relay) close() {
	_ = r.listener.Close() // accept ends
	r.cut()
}
