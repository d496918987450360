package transport

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Listen opens a TCP listener on a loopback address and logs one line with the address, so
// that port 0 can be read back. field names the flag in the error; protocol is "grpc" or
// "http".
func Listen(log *slog.Logger, service, protocol, field, addr string) (net.Listener, error) {
	if err := CheckLoopback(field, addr); err != nil {
		return nil, err
	}
	return ListenAnywhere(log, service, protocol, field, addr)
}

// ListenAnywhere is Listen on any address, for a server that authenticates its callers. The
// number of connections is limited to a quarter of the files that the process may open.
func ListenAnywhere(log *slog.Logger, service, protocol, field, addr string) (net.Listener, error) {
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		f := fault.Invalid(field, "cannot listen on %s: %v", addr, err)
		if errors.Is(err, syscall.EADDRINUSE) {
			f = fault.Invalid(field, "%s is already in use, possibly by another %s; stop that program, or set a different address with --%s", addr, service, field)
		}
		return nil, fault.Wrap(err, f.Reason, f.Message, "field", field)
	}
	log.Info("listening", "service", service, "protocol", protocol, "addr", lis.Addr().String())
	return bound(lis, connectionLimit(), log), nil
}

// CheckLoopback rejects an address that is not "host:port" with a loopback host.
func CheckLoopback(field, addr string) error {
	return CheckGuarded(field, addr, false, "use 127.0.0.1, [::1] or localhost")
}

// CheckGuarded rejects an address that is not "host:port", and one beyond loopback unless
// guarded is true; remedy says what would make it so.
func CheckGuarded(field, addr string, guarded bool, remedy string) error {
	if err := CheckAddress(field, addr); err != nil || guarded || IsLoopback(addr) {
		return err
	}
	return fault.Invalid(field, "%.80q is not a loopback address and is refused: authentication is not configured; %s", addr, remedy)
}

// CheckAddress rejects an address that is not "host:port".
func CheckAddress(field, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fault.Invalid(field, "%.80q is not an address such as 127.0.0.1:7700", addr)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fault.Invalid(field, "%.80q has no port from 0 to 65535", addr)
	}
	return nil
}

// IsLoopback reports whether only this machine reaches an address "host:port".
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
