package afterbell

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// DefaultAddr is the orchestrator's default address.
const DefaultAddr = "127.0.0.1:7700"

// maxReply is the largest response, in bytes: the plan of a long list.
const maxReply = 64 << 20

// window is the flow-control window in bytes: a message with rows.
const window = 1 << 20

// Client is a client of one orchestrator. It is safe for concurrent use.
type Client struct {
	// Runs starts, cancels and shows runs.
	Runs orchestratorv1.RunServiceClient
	// Pools shows, pauses and resumes the pools.
	Pools orchestratorv1.PoolServiceClient
	// Preflights checks whether runs can start now.
	Preflights orchestratorv1.PreflightServiceClient
	// Schedule shows and changes the schedule and its slots.
	Schedule orchestratorv1.ScheduleServiceClient
	// Settings shows and changes the policies of runs.
	Settings orchestratorv1.SettingsServiceClient
	// Modules shows, enables and disables modules and domains.
	Modules orchestratorv1.ModuleServiceClient
	// Targets shows and changes the target list.
	Targets orchestratorv1.TargetServiceClient
	// Data reads the published pools and shows their condition.
	Data orchestratorv1.DataServiceClient
	// Limits shows and discards learned limits of the provider.
	Limits orchestratorv1.LimitServiceClient
	// Tokens shows where the provider's tokens come from, and stores them.
	Tokens orchestratorv1.TokenServiceClient
	// Notices manages the channels of notices, and lists the notices that were sent.
	Notices orchestratorv1.NoticeServiceClient
	// Keys creates, lists and revokes API keys.
	Keys orchestratorv1.KeyServiceClient
	// Audit lists what was changed, when and by whom.
	Audit orchestratorv1.AuditServiceClient
	// Info describes both services, their files and what is published.
	Info orchestratorv1.InfoServiceClient

	addr    string
	conn    *grpc.ClientConn
	now     func() time.Time
	reached *atomic.Bool // whether the orchestrator has responded to a call
}

// Dial returns a client of the orchestrator at addr, "host:port"; an empty addr means
// DefaultAddr. It connects at the first call and reconnects automatically. A call to an
// address without a listener fails at once with an *Error that matches ErrUnreachable; pass
// grpc.WaitForReady(true) with a call to wait instead. extra is added to the client's own
// options, for example credentials; see DialAs.
func Dial(addr string, extra ...grpc.DialOption) (*Client, error) {
	if addr == "" {
		addr = DefaultAddr
	}
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return nil, fmt.Errorf("%.80q is not an address: write host:port, as in %s", addr, DefaultAddr)
	}
	reached := new(atomic.Bool)
	conn, err := grpc.NewClient("passthrough:///"+addr, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(8 * window),
		grpc.WithReadBufferSize(window / 4),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReply)),
		grpc.WithChainUnaryInterceptor(unaryErrors(addr, reached)),
		grpc.WithChainStreamInterceptor(streamErrors(addr)),
	}, extra...)...)
	if err != nil {
		return nil, err
	}
	return &Client{
		Runs:       orchestratorv1.NewRunServiceClient(conn),
		Pools:      orchestratorv1.NewPoolServiceClient(conn),
		Preflights: orchestratorv1.NewPreflightServiceClient(conn),
		Schedule:   orchestratorv1.NewScheduleServiceClient(conn),
		Settings:   orchestratorv1.NewSettingsServiceClient(conn),
		Modules:    orchestratorv1.NewModuleServiceClient(conn),
		Targets:    orchestratorv1.NewTargetServiceClient(conn),
		Data:       orchestratorv1.NewDataServiceClient(conn),
		Limits:     orchestratorv1.NewLimitServiceClient(conn),
		Tokens:     orchestratorv1.NewTokenServiceClient(conn),
		Notices:    orchestratorv1.NewNoticeServiceClient(conn),
		Keys:       orchestratorv1.NewKeyServiceClient(conn),
		Audit:      orchestratorv1.NewAuditServiceClient(conn),
		Info:       orchestratorv1.NewInfoServiceClient(conn),
		addr:       addr, conn: conn, now: time.Now, reached: reached,
	}, nil
}

// Addr is the address of the client.
func (c *Client) Addr() string { return c.addr }

// Conn is the connection, for services for which the client has no field.
func (c *Client) Conn() *grpc.ClientConn { return c.conn }

// Close closes the connection; calls in progress fail.
func (c *Client) Close() error { return c.conn.Close() }
