package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	afterbell "github.com/afterbell/afterbell/clients/go"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/fields"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// wanted is the content of the file. Values that it does not have stay unchanged.
type wanted struct {
	Schedule map[string]any              `yaml:"schedule"`
	Settings map[string]any              `yaml:"settings"`
	Domains  map[string]wantedDomain     `yaml:"domains"`
	Modules  map[string]wantedModule     `yaml:"modules"`
	Targets  *struct{ Symbols []string } `yaml:"targets"`
	Notices  map[string]map[string]any   `yaml:"notices"`
}

type wantedDomain struct {
	Enabled  *bool   `yaml:"enabled"`
	Provider *string `yaml:"provider"`
}

type wantedModule struct {
	Enabled *bool `yaml:"enabled"`
}

// change is one setting that would be another.
type change struct {
	Section string `json:"section"`
	Setting string `json:"setting"`
	Now     string `json:"now"`
	Then    string `json:"then"`
}

// plan is what a file changes, and the calls that do it in order.
type plan struct {
	changes  []change
	steps    []step
	mistakes mistakes
	invalid  string // the section whose values cannot be read
}

type step struct {
	section string
	do      func(ctx context.Context) error
}

func (a *app) applyCommand() *cobra.Command {
	var file string
	var yes, dry bool
	c := &cobra.Command{
		Use: "apply -f FILE", Args: a.noArgs, Short: a.T("Apply schedule, settings, modules, targets and notices from a file"),
		Long: a.T("Shows what a file would change, asks for confirmation, and applies it. Values that are not in the file stay as they are. Applying the same file again changes nothing."),
		Example: "  schedule: {run_at: \"19:30\", pools: [targets, universe], catch_up: last}\n  settings: {order_wait: 10m, preflight_policy: stale_only}\n" +
			"  domains:\n    etf: {enabled: false}\n  modules:\n    stock.moneyflow: {enabled: true}\n  targets:\n    symbols: [600519.SH, 000001.SZ]\n" +
			"  notices:\n    desk: {kind: dingtalk, language: zh, url_file: desk.url, secret_file: desk.secret}",
	}
	c.Flags().StringVarP(&file, "file", "f", "", a.T("the `file`, or - for standard input"))
	c.Flags().BoolVarP(&yes, "yes", "y", false, a.T("apply without asking"))
	c.Flags().BoolVar(&dry, "dry-run", false, a.T("show what would change, without changing it"))
	c.RunE = func(c *cobra.Command, _ []string) error {
		w, err := a.readWanted(file, c.CommandPath())
		if err != nil {
			return err
		}
		p, err := a.planFor(c.Context(), w, file)
		if err != nil {
			return err
		}
		answer := output.Answer{Columns: []output.Column{
			{Key: "section", Title: a.T("section")}, {Key: "setting", Title: a.T("setting")}, {Key: "now", Title: a.T("now")}, {Key: "then", Title: a.T("then")},
		}}
		for _, d := range p.changes {
			answer.Rows = append(answer.Rows, []any{d.Section, d.Setting, d.Now, d.Then})
			answer.Records = append(answer.Records, d)
		}
		if len(p.changes) > 0 || a.printer.Format != output.Table {
			if err := a.printer.Print(answer); err != nil {
				return err
			}
		}
		switch {
		case len(p.changes) == 0:
			a.say(a.T("Nothing to change."))
			return nil
		case dry:
			a.hint("afterbell apply -f " + file + " --yes")
			return nil
		case !yes:
			if err := a.confirm(file, len(p.changes)); err != nil {
				return err
			}
		}
		return a.carryOut(c.Context(), p, file)
	}
	return c
}

func (a *app) readWanted(file, path string) (*wanted, error) {
	if file == "" {
		return nil, usage{a.T("%s requires %s.", path, "-f FILE"), path + " --help"}
	}
	var text []byte
	var err error
	if file == "-" {
		text, err = io.ReadAll(a.In)
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, usage{a.T("--file: %s cannot be read: %s", file, a.pathless(err)), path + " --help"}
	}
	w, err := parseWanted(text)
	if err != nil {
		return nil, usage{file + ": " + a.yamlWords(err), path + " --help"}
	}
	return w, nil
}

// yamlWords says what is wrong with the syntax of a file, and in which line.
func (a *app) yamlWords(err error) string {
	var wrong yaml.Error
	if !errors.As(err, &wrong) || wrong.GetToken() == nil {
		return oneLine(err.Error())
	}
	at := wrong.GetToken().Position
	text := wrong.GetToken().Value
	var unknown *yaml.UnknownFieldError
	var node *yaml.UnexpectedNodeTypeError
	var kind *yaml.TypeError
	switch {
	case errors.As(err, &unknown) && at.Column == 1:
		return a.T("line %d: there is no section %q; there are %s", at.Line, text, "schedule, settings, domains, modules, targets, notices")
	case errors.As(err, &unknown):
		return a.T("line %d: there is no %q; a domain has enabled and provider, a module enabled, targets symbols", at.Line, text)
	case errors.As(err, &node):
		return a.T("line %d: write %s instead of %s", at.Line, a.yamlKind(node.Expected), a.yamlKind(node.Actual))
	case errors.As(err, &kind) && kind.DstType.Kind() == reflect.Bool:
		return a.T("line %d: %q is not allowed: write true or false", at.Line, text)
	}
	return a.T("line %d: %s", at.Line, oneLine(wrong.GetMessage()))
}

// yamlKind names a part of a file.
func (a *app) yamlKind(t ast.NodeType) string {
	switch t {
	case ast.SequenceType:
		return a.T("a list")
	case ast.MappingType, ast.MappingValueType:
		return a.T("names with values (as in enabled: true)")
	}
	return a.T("one value")
}

func parseWanted(text []byte) (*wanted, error) {
	w := &wanted{}
	if err := yaml.UnmarshalWithOptions(text, w, yaml.Strict(), yaml.DisallowUnknownField()); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return w, nil
}

// planFor compares the file with how it is now. Everything that can be wrong is found
// before anything is changed.
func (a *app) planFor(ctx context.Context, w *wanted, file string) (*plan, error) {
	client, err := a.connect()
	if err != nil {
		return nil, err
	}
	ctx, cancel := a.call(ctx)
	defer cancel()
	p := &plan{}
	if w.Settings != nil {
		now, err := client.Settings.GetSettings(ctx, &orchestratorv1.GetSettingsRequest{})
		if err != nil {
			return nil, err
		}
		req := &orchestratorv1.UpdateSettingsRequest{}
		p.fields(a, "settings", w.Settings, now.GetSettings(), req, file)
		err = p.step(ctx, "settings", func(ctx context.Context, check bool) error {
			req.ValidateOnly = check
			_, err := client.Settings.UpdateSettings(ctx, req)
			return err
		})
		if err := p.mistake(refusedSection(err, file, "settings", "afterbell settings set --help")); err != nil {
			return nil, err
		}
	}
	if w.Schedule != nil {
		now, err := client.Schedule.GetSchedule(ctx, &orchestratorv1.GetScheduleRequest{})
		if err != nil {
			return nil, err
		}
		req := &orchestratorv1.UpdateScheduleRequest{}
		p.fields(a, "schedule", w.Schedule, now.GetSchedule(), req, file)
		err = p.step(ctx, "schedule", func(ctx context.Context, check bool) error {
			req.ValidateOnly = check
			_, err := client.Schedule.UpdateSchedule(ctx, req)
			return err
		})
		if err := p.mistake(refusedSection(err, file, "schedule", "afterbell schedule set --help")); err != nil {
			return nil, err
		}
	}
	if err := a.planModules(ctx, p, w, file); err != nil {
		return nil, err
	}
	if err := a.planTargets(ctx, p, w, file); err != nil {
		return nil, err
	}
	if err := a.planNotices(ctx, p, w, file); err != nil {
		return nil, err
	}
	return p, p.mistakes.err()
}

// mistake collects an error about the content of the file, so that all of them are
// reported together. It returns any other error.
func (p *plan) mistake(err error) error {
	var wrong usage
	var rejected advised
	if errors.As(err, &wrong) || errors.As(err, &rejected) && !errors.Is(err, afterbell.ErrRoleRequired) && !errors.Is(err, afterbell.ErrUnauthenticated) {
		p.mistakes = append(p.mistakes, err)
		return nil
	}
	return err
}

// step adds a call for a section that has changes, after the orchestrator has checked it.
func (p *plan) step(ctx context.Context, section string, do func(ctx context.Context, check bool) error) error {
	if p.invalid == section || !slices.ContainsFunc(p.changes, func(c change) bool { return c.Section == section }) {
		return nil
	}
	p.steps = append(p.steps, step{section, func(ctx context.Context) error { return do(ctx, false) }})
	return do(ctx, true)
}

// fields compares settings by the names of the contract and fills the request with
// those that differ. A section with a mistake gets no step.
func (p *plan) fields(a *app, section string, want map[string]any, now, req proto.Message, file string) {
	wrong := func(message string) {
		p.invalid = section
		p.mistakes = append(p.mistakes, usage{message, "afterbell apply --help"})
	}
	for _, name := range settingsOf(req) {
		v, ok := want[name]
		if !ok {
			continue
		}
		probe := req.ProtoReflect().New().Interface()
		if err := fields.Set(probe, name, yamlText(v)); err != nil {
			wrong(fmt.Sprintf("%s: %s.%s: %s", file, section, name, a.notAllowed(err)))
			continue
		}
		is, then := fields.Get(now, name), fields.Get(probe, name)
		if fields.Same(req, name, is, then) {
			continue
		}
		p.changes = append(p.changes, change{section, name, is, then})
		if err := fields.Set(req, name, then); err != nil {
			wrong(fmt.Sprintf("%s: %s.%s: %s", file, section, name, a.notAllowed(err)))
		}
	}
	for _, name := range sortedKeys(want) {
		if !slices.Contains(settingsOf(req), name) {
			wrong(a.T("%s: %s: there is no %q; there are %s.", file, section, name, strings.Join(settingsOf(req), ", ")))
		}
	}
}

// yamlText is a value of the file as the text that a flag would have.
func yamlText(v any) string {
	if list, ok := v.([]any); ok {
		parts := make([]string, len(list))
		for i, e := range list {
			parts[i] = fmt.Sprint(e)
		}
		return strings.Join(parts, ",")
	}
	return fmt.Sprint(v)
}

func (a *app) planModules(ctx context.Context, p *plan, w *wanted, file string) error {
	if len(w.Domains) == 0 && len(w.Modules) == 0 {
		return nil
	}
	resp, err := a.client.Modules.ListDomains(ctx, &orchestratorv1.ListDomainsRequest{})
	if err != nil {
		return err
	}
	domains, modules := map[string]*orchestratorv1.DomainSetting{}, map[string]*orchestratorv1.ModuleSetting{}
	for _, d := range resp.GetDomains() {
		domains[d.GetDomain().GetDomainId()] = d
		for _, m := range d.GetModules() {
			modules[m.GetModule().GetModuleId()] = m
		}
	}
	for _, id := range sortedKeys(w.Domains) {
		want, now := w.Domains[id], domains[id]
		if now == nil {
			p.mistakes = append(p.mistakes, usage{a.T("%s: there is no domain %q.", file, id), "afterbell domains --all"})
			continue
		}
		req := &orchestratorv1.UpdateDomainRequest{DomainId: id}
		if want.Enabled != nil && *want.Enabled != now.GetEnabled() {
			req.Enabled = want.Enabled
			p.changes = append(p.changes, change{"domains." + id, "enabled", fmt.Sprint(now.GetEnabled()), fmt.Sprint(*want.Enabled)})
		}
		if want.Provider != nil && *want.Provider != now.GetProviderId() {
			req.ProviderId = want.Provider
			p.changes = append(p.changes, change{"domains." + id, "provider", now.GetProviderId(), *want.Provider})
		}
		err := p.step(ctx, "domains."+id, func(ctx context.Context, check bool) error {
			req.ValidateOnly = check
			_, err := a.client.Modules.UpdateDomain(ctx, req)
			return err
		})
		if err := p.mistake(refusedSection(err, file, "domains."+id, "afterbell domains --all")); err != nil {
			return err
		}
	}
	for _, id := range sortedKeys(w.Modules) {
		want, now := w.Modules[id], modules[id]
		if now == nil {
			p.mistakes = append(p.mistakes, usage{a.T("%s: there is no module %q.", file, id), "afterbell modules --all"})
			continue
		}
		if want.Enabled == nil || *want.Enabled == now.GetEnabled() {
			continue
		}
		req := &orchestratorv1.UpdateModuleRequest{ModuleId: id, Enabled: want.Enabled}
		p.changes = append(p.changes, change{"modules." + id, "enabled", fmt.Sprint(now.GetEnabled()), fmt.Sprint(*want.Enabled)})
		err := p.step(ctx, "modules."+id, func(ctx context.Context, check bool) error {
			req.ValidateOnly = check
			_, err := a.client.Modules.UpdateModule(ctx, req)
			return err
		})
		if err := p.mistake(refusedSection(err, file, "modules."+id, "afterbell modules --all")); err != nil {
			return err
		}
	}
	return nil
}

// refusedSection adds the section of the file to an error of the orchestrator.
func refusedSection(err error, file, section, next string) error {
	var answer *afterbell.Error
	if errors.As(err, &answer) && !errors.Is(err, afterbell.ErrUnreachable) {
		return advised{fmt.Errorf("%s: %s: %w", file, section, err), next}
	}
	return err
}

// defaultSet is the set of the target list that users edit; other services have their own.
const defaultSet = "default"

// planTargets compares the symbols of the file with those of the default set. What other
// sets have is none of the file's business, even if it is the same symbol.
func (a *app) planTargets(ctx context.Context, p *plan, w *wanted, file string) error {
	if w.Targets == nil || w.Targets.Symbols == nil {
		return nil
	}
	list := &orchestratorv1.Targets{Symbols: w.Targets.Symbols}
	now, err := a.client.Targets.GetTargetSet(ctx, &orchestratorv1.GetTargetSetRequest{SetId: defaultSet})
	if err != nil {
		return err
	}
	resp, err := a.client.Targets.PreviewTargets(ctx, &orchestratorv1.PreviewTargetsRequest{Targets: list})
	if err != nil {
		return p.mistake(refusedSection(err, file, "targets", "afterbell targets list"))
	}
	was, then := map[string]string{}, map[string]string{}
	for _, e := range now.GetSet().GetEntries() {
		was[e.GetSymbol()] = a.listed(e.GetExpireTime())
	}
	for _, t := range resp.GetResolved() {
		for _, m := range t.GetMemberships() {
			if m.GetSetId() == defaultSet {
				then[t.GetSymbol()] = a.listed(m.GetExpireTime())
			}
		}
	}
	all := maps.Clone(was)
	maps.Copy(all, then)
	for _, s := range sortedKeys(all) {
		if was[s] != then[s] {
			p.changes = append(p.changes, change{"targets", s, was[s], then[s]})
		}
	}
	return p.step(ctx, "targets", func(ctx context.Context, check bool) error {
		if check {
			return nil // the preview has
		}
		_, err := a.client.Targets.UpdateTargets(ctx, &orchestratorv1.UpdateTargetsRequest{Targets: list})
		return err
	})
}

// listed says that a symbol is on the list, and until when.
func (a *app) listed(until *timestamppb.Timestamp) string {
	if until == nil {
		return a.T("on the list")
	}
	return a.T("on the list until %s", a.moment(until.AsTime()))
}

// confirm asks on a terminal, and fails if there is none.
func (a *app) confirm(file string, n int) error {
	again := advised{errors.New(a.T("Nothing was changed.")), "afterbell apply -f " + file + " --yes"}
	if _, is := terminal(a.In); !is || a.noInput || file == "-" {
		again.err = errors.New(a.N(n, "%d change needs confirmation, but there is no terminal to ask on.", "%d changes need confirmation, but there is no terminal to ask on."))
		return again
	}
	fmt.Fprint(a.Err, a.N(n, "Make this %d change? [y/N] ", "Make these %d changes? [y/N] "))
	line, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes", "是":
		return nil
	}
	return again
}

func (a *app) carryOut(ctx context.Context, p *plan, file string) error {
	for i, s := range p.steps {
		one, cancel := a.call(ctx)
		err := s.do(one)
		cancel()
		if err != nil {
			if i > 0 {
				a.tell(a.N(i, "Before the error, %d of %d sections was changed.", "Before the error, %d of %d sections were changed.", len(p.steps)))
			}
			return advised{fmt.Errorf("%s: %w", s.section, err), "afterbell apply -f " + file + " --dry-run"}
		}
	}
	a.say(a.N(len(p.changes), "%d change made.", "%d changes made."))
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
