package transport

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
)

// maxReply is the largest response, in bytes: a plan for a long list.
const maxReply = 64 << 20

// window is the flow-control window in bytes: a message with rows. With gRPC's default of
// 64 KiB each such message would wait for its reader many times.
const window = 1 << 20

// ioBuffer is the size of reads and writes on a connection, in bytes. With gRPC's default
// of 32 KiB a message with rows takes about thirty system calls.
const ioBuffer = 256 << 10

// Security secures a connection to another machine. The zero Security is for loopback only.
type Security struct {
	// TLS is this side's certificate and the CA of the other side. Nil means no TLS.
	TLS *TLS
	// Secret is sent with every call. Nil means none.
	Secret *Secret
}

// Dial returns a client of a service on loopback. It connects on first use and reconnects
// with pauses of at most three seconds; a silent peer is dropped after 20 s. Errors are
// fault.Errors; see FromStatus. extra may replace the dialer, as in tests.
func Dial(addr string, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	return DialSecure(addr, Security{}, extra...)
}

// DialSecure is Dial for a service that may be on another machine.
func DialSecure(addr string, sec Security, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	return dial(addr, sec, append([]grpc.DialOption{
		grpc.WithChainUnaryInterceptor(unaryFaults(addr)),
		grpc.WithChainStreamInterceptor(streamFaults(addr)),
	}, extra...)...)
}

// DialPlain is Dial with errors as statuses, for tests of a server.
func DialPlain(addr string, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	return dial(addr, Security{}, extra...)
}

func dial(addr string, sec Security, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if sec.TLS != nil {
		creds = newClientCredentials(sec.TLS)
		if err := CheckAddress("address", addr); err != nil {
			return nil, err
		}
	} else if err := CheckLoopback("address", addr); err != nil {
		return nil, err
	}
	if sec.Secret != nil {
		extra = append([]grpc.DialOption{grpc.WithPerRPCCredentials(sec.Secret)}, extra...)
	}
	return newClient(addr, creds, extra...)
}

func newClient(addr string, creds credentials.TransportCredentials, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr, append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0), // an idle connection shows that the worker is gone
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(8 * window),
		grpc.WithReadBufferSize(ioBuffer),
		experimental.WithBufferPool(buffers),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newBytesCodec()), grpc.MaxCallRecvMsgSize(maxReply), grpc.MaxCallSendMsgSize(maxReply)),
	}, extra...)...)
}

func unaryFaults(addr string) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return FromStatus(ctx, addr, invoke(ctx, method, req, reply, cc, opts...))
	}
}

func streamFaults(addr string) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := open(ctx, desc, cc, method, opts...)
		if err != nil {
			return nil, FromStatus(ctx, addr, err)
		}
		return faultStream{s, ctx, addr}, nil
	}
}

type faultStream struct {
	grpc.ClientStream
	caller context.Context // the stream's own context ends with the stream, not with the caller
	addr   string
}

// RecvMsg implements grpc.ClientStream.
func (s faultStream) RecvMsg(m any) error { return s.convert(s.ClientStream.RecvMsg(m)) }

// SendMsg implements grpc.ClientStream.
func (s faultStream) SendMsg(m any) error { return s.convert(s.ClientStream.SendMsg(m)) }

func (s faultStream) convert(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return FromStatus(s.caller, s.addr, err)
}
