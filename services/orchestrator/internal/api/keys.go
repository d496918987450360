package api

import (
	"context"
	"time"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

type keyService struct {
	orchestratorv1.UnimplementedKeyServiceServer
	*base
}

func keyOf(k auth.Key) *orchestratorv1.Key {
	return &orchestratorv1.Key{
		KeyId: k.ID, Name: k.Name, Role: roleToProto(k.Role), CreateTime: transport.TimeToProto(k.CreatedAt), Creator: k.Creator,
		ExpireTime: transport.TimeToProto(k.ExpiresAt), RevokeTime: transport.TimeToProto(k.RevokedAt), LastUseTime: transport.TimeToProto(k.UsedAt),
		LastUseAddress: k.UsedFrom, Active: k.Active(time.Now()),
	}
}

// CreateKey implements orchestratorv1.KeyServiceServer.
func (s *keyService) CreateKey(ctx context.Context, req *orchestratorv1.CreateKeyRequest) (*orchestratorv1.CreateKeyResponse, error) {
	var p problems
	role := roleFromProto(req.GetRole())
	if role == "" {
		p.add("role", "%s is not allowed: allowed are ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN", req.GetRole())
	}
	var ttl time.Duration
	if req.GetTtl() != nil {
		if ttl = req.GetTtl().AsDuration(); req.GetTtl().CheckValid() != nil || ttl < auth.MinTTL || ttl > auth.MaxTTL {
			p.add("ttl", "is outside 60s to 315360000s, 3,650 days")
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	k, secret, err := s.Keys.Create(ctx, req.GetName(), role, ttl, auth.CallerOf(ctx).Name)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.CreateKeyResponse{Key: keyOf(k), Secret: secret}, nil
}

// ListKeys implements orchestratorv1.KeyServiceServer.
func (s *keyService) ListKeys(context.Context, *orchestratorv1.ListKeysRequest) (*orchestratorv1.ListKeysResponse, error) {
	return &orchestratorv1.ListKeysResponse{Keys: each(s.Keys.List(), keyOf)}, nil
}

// RevokeKey implements orchestratorv1.KeyServiceServer.
func (s *keyService) RevokeKey(ctx context.Context, req *orchestratorv1.RevokeKeyRequest) (*orchestratorv1.RevokeKeyResponse, error) {
	var p problems
	if p.id("key_id", req.GetKeyId()); p.err() != nil {
		return nil, p.err()
	}
	k, err := s.Keys.Revoke(ctx, req.GetKeyId(), s.KeysRequired && !req.GetForce())
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.RevokeKeyResponse{Key: keyOf(k)}, nil
}
