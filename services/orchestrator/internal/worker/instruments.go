package worker

import (
	"context"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/instrument"
)

// Instruments are those in the worker's lists, with the version of the lists, which is
// empty before there are any. If the version equals known, no instruments are returned.
func (c *Client) Instruments(ctx context.Context, known string) (version string, all []instrument.Instrument, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.rpc.ListInstruments(ctx, &ingestv1.ListInstrumentsRequest{KnownVersion: known})
	if err != nil {
		return "", nil, err
	}
	for _, x := range resp.GetInstruments() {
		i := instrument.Instrument{Symbol: x.GetSymbol(), Name: x.GetName(), Kind: transport.KindFromProto(x.GetKind()), Status: x.GetListStatus(), Former: x.GetFormerSymbols()}
		if i.Listed, err = transport.DateFromProto("list_date", x.GetListDate()); err != nil {
			return "", nil, err
		}
		if i.Delisted, err = transport.DateFromProto("delist_date", x.GetDelistDate()); err != nil {
			return "", nil, err
		}
		all = append(all, i)
	}
	return resp.GetVersion(), all, nil
}
