package api

import (
	"context"
	"strconv"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

// begin writes an audit entry before the call changes something outside the ledger, so that
// there is an entry even if the process is killed meanwhile. If the entry cannot be
// written, the change is not made.
func (b *base) begin(ctx context.Context) error {
	if c := auth.ChangeOf(ctx); c != nil {
		return b.Trail.AddEntry(ctx, c.Begin())
	}
	return nil
}

type auditService struct {
	orchestratorv1.UnimplementedAuditServiceServer
	*base
}

// ListAuditEntries implements orchestratorv1.AuditServiceServer.
func (s *auditService) ListAuditEntries(ctx context.Context, req *orchestratorv1.ListAuditEntriesRequest) (*orchestratorv1.ListAuditEntriesResponse, error) {
	var p problems
	for field, text := range map[string]string{"actor": req.GetActor(), "method": req.GetMethod()} {
		if text != "" {
			p.id(field, text)
		}
	}
	filter := strconv.Quote(req.GetActor()) + strconv.Quote(req.GetMethod())
	limit, cursor := p.page(req.GetPageSize(), 50, 500, req.GetPageToken(), "audit", filter)
	f := auth.EntryFilter{Actor: req.GetActor(), Method: req.GetMethod(), Limit: limit}
	if cursor != "" {
		id, err := strconv.ParseInt(cursor, 10, 64)
		if f.Before = id; err != nil || id < 1 {
			p.add("page_token", "was not returned by this list")
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	entries, more, err := s.Trail.Entries(ctx, f)
	if err != nil {
		return nil, err
	}
	next := ""
	if more {
		next = pageToken("audit", filter, strconv.FormatInt(entries[len(entries)-1].ID, 10))
	}
	return &orchestratorv1.ListAuditEntriesResponse{Entries: each(entries, entryOf), NextPageToken: next}, nil
}

func entryOf(e auth.Entry) *orchestratorv1.AuditEntry {
	return &orchestratorv1.AuditEntry{
		EntryId: e.ID, Time: transport.TimeToProto(e.At), Actor: e.Caller.Name, KeyId: e.Caller.KeyID, Role: roleToProto(e.Caller.Role),
		Via: e.Caller.Via, Address: e.Caller.Address, Method: e.Method, Request: e.Request, Before: e.Before, After: e.After,
	}
}
