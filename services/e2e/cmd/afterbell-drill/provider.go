package main

import (
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

// provider is the simulator behind a listener that can be closed and opened again at the same
// address.
type provider struct {
	*tusharesim.Sim
	addr   string
	server *http.Server
}

func (p *provider) up() error {
	if p.addr == "" {
		p.addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.addr = l.Addr().String()
	server := &http.Server{Handler: p.Handler(), ReadHeaderTimeout: 30 * time.Second}
	p.server = server
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			_ = l.Close() // the drill fails without a listener
		}
	}()
	return nil
}

// down closes all connections and refuses new ones.
func (p *provider) down() error { return p.server.Close() }

func (p *provider) url() string { return "http://" + p.addr }
