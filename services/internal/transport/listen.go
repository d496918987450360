package transport

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Listen opens a TCP listener on a loopback address and logs one line with the
// address in use, so that port 0 can be read back. field names the flag in the
// error; protocol is "grpc" or "http".
func Listen(log *slog.Logger, service, protocol, field, addr string) (net.Listener, error) {
	if err := CheckLoopback(field, addr); err != nil {
		return nil, err
	}
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		f := fault.Invalid(field, "cannot listen on %s: %v", addr, err)
		if errors.Is(err, syscall.EADDRINUSE) {
			f = fault.Invalid(field, "%s is already in use, possibly by another %s; stop that program, or set a different address with --%s", addr, service, field)
		}
		return nil, fault.Wrap(err, f.Reason, f.Message, "field", field)
	}
	log.Info("listening", "service", service, "protocol", protocol, "addr", lis.Addr().String())
	return lis, nil
}

// CheckLoopback refuses an address that is not "host:port" with a loopback host.
func CheckLoopback(field, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fault.Invalid(field, "%.80q is not an address such as 127.0.0.1:7700", addr)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fault.Invalid(field, "%.80q has no port from 0 to 65535", addr)
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	return fault.Invalid(field, "%.80q is not a loopback address and is refused: authentication is not configured; use 127.0.0.1, [::1] or localhost", addr)
}
