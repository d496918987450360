package api

import (
	"strings"
	"testing"

	authv1 "github.com/afterbell/afterbell/gen/afterbell/auth/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

// The audit trail keeps a request without its secrets, wherever they stand in it.
func TestToldWithoutSecrets(t *testing.T) {
	const hidden = "hush-4711"
	url, secret := "https://example.org/hook?token="+hidden, hidden
	for _, req := range []any{
		&orchestratorv1.CreateChannelRequest{ChannelId: "desk", Url: url, Secret: secret},
		&orchestratorv1.UpdateChannelRequest{ChannelId: "desk", Url: &url, Secret: &secret},
		&orchestratorv1.CreateKeyResponse{Key: &orchestratorv1.Key{Name: "desk"}, Secret: secret},
	} {
		if said := recorded(req); strings.Contains(said, hidden) || !strings.Contains(said, "desk") {
			t.Errorf("reported %s", said)
		}
	}
	if said := recorded(&orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: []string{"600519.SH"}}}); said != `{"targets":{"symbols":["600519.SH"]}}` {
		t.Errorf("reported %s", said)
	}
	if said := recorded("no message"); said != "" {
		t.Errorf("reported %s", said)
	}
}

func TestMethodsThatChange(t *testing.T) {
	a := NewAccess(nil, nil, true, nil)
	for method, want := range map[string]bool{
		"RunService/CreateRun": true, "RunService/ListRuns": false, "KeyService/ListKeys": false, "KeyService/CreateKey": true, "AuditService/ListAuditEntries": false,
		"TargetService/PreviewTargets": false, "PreflightService/RunPreflight": true, "RunService/None": false,
	} {
		if a.changes("/afterbell.orchestrator.v1."+method) != want {
			t.Errorf("%s changes: %v", method, !want)
		}
	}
	if label("/afterbell.orchestrator.v1.RunService/CreateRun") != "RunService.CreateRun" {
		t.Error("a method has another name in the audit trail")
	}
	for _, role := range []auth.Role{auth.Viewer, auth.Operator, auth.Admin} {
		if roleFromProto(roleToProto(role)) != role {
			t.Errorf("%s is lost on the wire", role)
		}
	}
	if roleFromProto(authv1.Role_ROLE_SERVICE) != "" || roleFromProto(99) != "" {
		t.Error("a role that no key has is one")
	}
}
