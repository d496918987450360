package worker

import (
	"context"
	"strings"
	"time"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// Limit is a limit of the provider that the worker has learned from a refusal.
type Limit struct {
	// API that it limits.
	API string
	// Window of the limit: "minute", "hour" or "day"; empty if the worker sent none.
	Window string
	// Calls allowed in the window; 0 where the refusal did not say.
	Calls int
	// LearntAt is when it was learned; zero if only the end of a wait is known.
	LearntAt time.Time
	// OpensAt is from when a call may be made again; zero if one may be made now.
	OpensAt time.Time
	// InForce is whether it delays calls and is not due to be tried again.
	InForce bool
}

// OwnWait is a wait for the worker's own limit.
type OwnWait struct {
	// API that is called.
	API string
	// PerMinute is the number of calls that the limit allows, Waiting the number that wait.
	PerMinute, Waiting int
	// OpensAt is when the next one can be made.
	OpensAt time.Time
}

// Limits lists the learned limits of the current tokens, and the calls that wait for the
// worker's own limit.
func (c *Client) Limits(ctx context.Context) ([]Limit, []OwnWait, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.rpc.ListLimits(ctx, &ingestv1.ListLimitsRequest{})
	if err != nil {
		return nil, nil, err
	}
	waits := make([]OwnWait, len(resp.GetOwnWaits()))
	for i, w := range resp.GetOwnWaits() {
		waits[i] = OwnWait{
			API: w.GetProviderApi(), PerMinute: int(w.GetCallCount()), Waiting: int(w.GetWaitingCount()), OpensAt: transport.TimeFromProto(w.GetOpenTime()),
		}
	}
	return limitsOf(resp.GetLimits()), waits, nil
}

// ForgetLimits discards the learned limits of the APIs, or of all if none is named, and
// returns them. INVALID_ARGUMENT if an API does not exist.
func (c *Client) ForgetLimits(ctx context.Context, apis []string) ([]Limit, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.rpc.ForgetLimits(ctx, &ingestv1.ForgetLimitsRequest{ProviderApis: apis})
	if err != nil {
		return nil, err
	}
	return limitsOf(resp.GetLimits()), nil
}

func limitsOf(list []*marketv1.LearntLimit) []Limit {
	out := make([]Limit, len(list))
	for i, l := range list {
		out[i] = Limit{
			API: l.GetProviderApi(), Calls: int(l.GetCallCount()), InForce: l.GetInForce(),
			LearntAt: transport.TimeFromProto(l.GetLearnTime()), OpensAt: transport.TimeFromProto(l.GetOpenTime()),
		}
		if l.GetWindow() != marketv1.LearntLimit_WINDOW_UNSPECIFIED {
			out[i].Window = strings.ToLower(strings.TrimPrefix(l.GetWindow().String(), "WINDOW_"))
		}
	}
	return out
}
