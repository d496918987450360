package worker

import (
	"context"
	"fmt"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// Publish updates the copy of a pool for readers.
func (c *Client) Publish(ctx context.Context, pool market.Pool, runID string) ([]fault.Issue, error) {
	resp, err := c.data.PublishPool(ctx, &ingestv1.PublishPoolRequest{Pool: transport.PoolToProto(pool), RunId: runID})
	if err != nil {
		return nil, err
	}
	if resp.GetRepaired() == "" {
		return nil, nil
	}
	return []fault.Issue{fault.NewIssue(fault.PublicationRepaired,
		fmt.Sprintf("The published copy of %s was rebuilt: %s.", pool, resp.GetRepaired()), "pool", string(pool), "version", resp.GetVersion())}, nil
}

// Data is the worker's service for rows. Its messages are forwarded without decoding.
func (c *Client) Data() ingestv1.DataServiceClient { return c.data }
