package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// starts is the number of starts of a program for one figure.
const starts = 50

// emptyProgram is the source of a program that links the command's packages, runs their
// initialization and ends.
const emptyProgram = `package main

import _ "github.com/afterbell/afterbell/services/cli/internal/command"

func main() {}
`

// cliScenario measures the start of the command, compared with an empty program that links the
// same packages, and status, compared with a curl that requests the same responses.
func cliScenario(ctx context.Context, b *bench, r *round) (err error) {
	if r.filled == "" {
		return errors.New("pair has left nothing to ask about")
	}
	command := filepath.Join(b.bin, "afterbell")
	empty, err := b.emptyProgram(ctx, command)
	if err != nil {
		return fmt.Errorf("the empty program: %w", err)
	}
	c, err := b.config(r.filled, 0)
	if err != nil {
		return err
	}
	s, err := stack.New(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	start := func(allowed []int, name string, args ...string) func() error {
		return func() error {
			cmd := exec.CommandContext(ctx, name, args...)
			cmd.Env = append(os.Environ(), "AFTERBELL_ORCHESTRATOR="+s.Config.GRPCAddr)
			out, err := cmd.CombinedOutput()
			var code *exec.ExitError
			if errors.As(err, &code) && slices.Contains(allowed, code.ExitCode()) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, out)
			}
			return nil
		}
	}
	curl := []string{"--silent", "--show-error", "--fail", "--parallel", "--parallel-immediate"}
	for _, path := range statusPaths(time.Now().In(shanghai)) {
		curl = append(curl, "--output", os.DevNull, "http://"+s.Config.HTTPAddr+path)
	}
	ways := []way{
		{"start", start(nil, command, "version")},
		{"empty", start(nil, empty)},
		{"status", start([]int{2, 3, 4}, command, "status")}, // the exit code depends on the data
		{"curl", start(nil, "curl", curl...)},
	}
	all, err := inTurns(starts, ways)
	if err != nil {
		return err
	}
	for i, w := range ways {
		r.values["cli."+w.name], _ = middle(all[i])
	}
	return nil
}

// statusPaths are the REST calls whose responses status requests over gRPC.
func statusPaths(now time.Time) []string {
	paths := []string{"/v1/domains", "/v1/schedule", "/v1/readiness", "/v1/channels", "/v1/targets"}
	span := "start_date=" + now.AddDate(0, 0, -31).Format(time.DateOnly) + "&end_date=" + now.Format(time.DateOnly)
	for _, pool := range []string{"targets", "universe"} {
		paths = append(paths, "/v1/pools/"+pool, "/v1/pools/"+pool+"/coverage?"+span, "/v1/slots?pool="+pool)
	}
	return paths
}

// emptyProgram builds the empty program in the same way as the command, from the checkout in
// the working directory.
func (b *bench) emptyProgram(ctx context.Context, command string) (path string, err error) {
	built, err := buildinfo.ReadFile(command)
	if err != nil {
		return "", err
	}
	dir, err := b.dataDir("empty")
	if err != nil {
		return "", err
	}
	source, overlay := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	const place = "services/cli/cmd/empty"
	main, err := filepath.Abs(filepath.Join(place, "main.go"))
	if err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {main: source}})
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.WriteFile(source, []byte(emptyProgram), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return "", err
	}
	path = filepath.Join(dir, "empty")
	args := []string{"build", "-overlay", overlay, "-o", path}
	cmd := exec.CommandContext(ctx, "go")
	cmd.Env = os.Environ()
	for _, s := range built.Settings {
		switch s.Key {
		case "-tags", "-ldflags", "-trimpath":
			args = append(args, s.Key+"="+s.Value)
		case "CGO_ENABLED":
			cmd.Env = append(cmd.Env, s.Key+"="+s.Value)
		}
	}
	cmd.Args = append(cmd.Args, append(args, "./"+place)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
}
