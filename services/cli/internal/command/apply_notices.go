package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/fields"
)

// planNotices compares the channels of a file with the existing ones. The orchestrator
// returns what would change, because only it knows the secrets.
func (a *app) planNotices(ctx context.Context, p *plan, w *wanted, file string) error {
	if len(w.Notices) == 0 {
		return nil
	}
	list, err := a.channels(ctx)
	if err != nil {
		return err
	}
	now := map[string]*orchestratorv1.Channel{}
	for _, c := range list {
		now[c.GetChannelId()] = c
	}
	for _, id := range sortedKeys(w.Notices) {
		want, section := w.Notices[id], "notices."+id
		if remove, ok := want["remove"].(bool); ok && remove {
			if len(want) > 1 {
				p.mistakes = append(p.mistakes, usage{a.T("%s: %s: remove cannot be combined with other fields.", file, section), "afterbell apply --help"})
				continue
			}
			if now[id] == nil {
				continue
			}
			p.changes = append(p.changes, change{section, "remove", a.enum(now[id].GetKind(), "KIND_").Raw, ""})
			err := p.step(ctx, section, func(ctx context.Context, check bool) error {
				if check {
					return nil // it exists
				}
				_, err := a.client.Notices.DeleteChannel(ctx, &orchestratorv1.DeleteChannelRequest{ChannelId: id})
				return err
			})
			if err != nil {
				return err
			}
			continue
		}
		if now[id] == nil {
			err = a.planNewChannel(ctx, p, id, section, want, file)
		} else {
			err = a.planChannel(ctx, p, now[id], section, want, file)
		}
		if err := p.mistake(err); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) planNewChannel(ctx context.Context, p *plan, id, section string, want map[string]any, file string) error {
	req := &orchestratorv1.CreateChannelRequest{ChannelId: id, ValidateOnly: true}
	if err := a.wantChannel(req, section, want, file); err != nil {
		return err
	}
	if _, err := a.client.Notices.CreateChannel(ctx, req); err != nil {
		return refusedSection(err, file, section, "afterbell notify add --help")
	}
	for _, name := range settingsOf(req) {
		if text := a.shownField(req, name); text != "" && text != "false" && text != "0" {
			p.changes = append(p.changes, change{section, name, "", text})
		}
	}
	return p.step(ctx, section, func(ctx context.Context, check bool) error {
		if check {
			return nil // it was, above
		}
		req.ValidateOnly = false
		_, err := a.client.Notices.CreateChannel(ctx, req)
		return err
	})
}

func (a *app) planChannel(ctx context.Context, p *plan, now *orchestratorv1.Channel, section string, want map[string]any, file string) error {
	if len(want) == 0 {
		return nil // it exists
	}
	req := &orchestratorv1.UpdateChannelRequest{ChannelId: now.GetChannelId(), ValidateOnly: true}
	if err := a.wantChannel(req, section, want, file); err != nil {
		return err
	}
	resp, err := a.client.Notices.UpdateChannel(ctx, req)
	if err != nil {
		return refusedSection(err, file, section, "afterbell notify set --help")
	}
	for _, name := range resp.GetChangedFields() {
		before := fields.Get(now, name)
		if slices.Contains(secretFields, name) {
			before = map[string]string{"url": now.GetUrlFingerprint(), "secret": now.GetSecretFingerprint()}[name]
		}
		p.changes = append(p.changes, change{section, name, before, a.shownField(req, name)})
	}
	return p.step(ctx, section, func(ctx context.Context, check bool) error {
		if check {
			return nil // it was, above
		}
		req.ValidateOnly = false
		_, err := a.client.Notices.UpdateChannel(ctx, req)
		return err
	})
}

// wantChannel fills a request from the file.
func (a *app) wantChannel(req proto.Message, section string, want map[string]any, file string) error {
	names := settingsOf(req)
	for _, key := range sortedKeys(want) {
		name, text := key, yamlText(want[key])
		if field, ok := strings.CutSuffix(key, "_file"); ok && slices.Contains(secretFields, field) {
			if _, both := want[field]; both {
				return usage{a.T("%s: %s: %s and %s are given; one is enough.", file, section, field, key), "afterbell apply --help"}
			}
			var err error
			if text, err = a.readSecret(text); err != nil {
				return usage{fmt.Sprintf("%s: %s.%s: %v", file, section, key, err), "afterbell apply --help"}
			}
			name = field
		}
		if !slices.Contains(names, name) {
			return usage{a.T("%s: %s: there is no %q; there are %s.", file, section, key, strings.Join(append(names, "url_file", "secret_file", "remove"), ", ")), "afterbell apply --help"}
		}
		if err := fields.Set(req, name, text); err != nil {
			return usage{fmt.Sprintf("%s: %s.%s: %s", file, section, name, a.notAllowed(err)), "afterbell apply --help"}
		}
	}
	return nil
}

// shownField is the displayed value of a request's field; for a secret, only that it is
// set.
func (a *app) shownField(req proto.Message, name string) string {
	text := fields.Get(req, name)
	if text != "" && slices.Contains(secretFields, name) {
		return a.T("(set)")
	}
	return text
}
