package cli_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// host is a network namespace, which has its own network like a separate machine.
type host struct {
	t    *testing.T
	name string // of the namespace
	addr string // its only address other than loopback
	bin  string // the programs, started in the namespace
}

// twoHosts are two machines with one wire between them. Only root can make them.
func twoHosts(t *testing.T) (a, b *host) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("the command ip is not installed")
	}
	id := os.Getpid() % 100_000
	net := fmt.Sprintf("10.%d.%d", 200+id%50, id/50%250)
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	if out, err := exec.Command("ip", "netns", "add", fmt.Sprint("ab-probe-", id)).CombinedOutput(); err != nil {
		t.Skipf("network namespaces are not allowed here: %s", out)
	}
	ip("netns", "delete", fmt.Sprint("ab-probe-", id))
	hosts := []*host{{name: fmt.Sprint("ab-o-", id), addr: net + ".1"}, {name: fmt.Sprint("ab-w-", id), addr: net + ".2"}}
	for _, h := range hosts {
		h.t, h.bin = t, t.TempDir()
		ip("netns", "add", h.name)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", h.name).Run() }) // with its end of the wire
		for _, program := range []string{"tushare-sim", "ingest-worker", "orchestrator", "afterbell"} {
			script := fmt.Sprintf("#!/bin/sh\nexec ip netns exec %s %s \"$@\"\n", h.name, filepath.Join(bin, program))
			if err := os.WriteFile(filepath.Join(h.bin, program), []byte(script), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	ip("link", "add", "eth0", "netns", hosts[0].name, "type", "veth", "peer", "name", "eth0", "netns", hosts[1].name)
	for _, h := range hosts {
		ip("-n", h.name, "address", "add", h.addr+"/24", "dev", "eth0")
		ip("-n", h.name, "link", "set", "lo", "up")
		ip("-n", h.name, "link", "set", "eth0", "up")
	}
	return hosts[0], hosts[1]
}

// start runs a program on the host until the test ends.
func (h *host) start(program, data string, args ...string) *stack.Process {
	h.t.Helper()
	listens := map[string][]string{"tushare-sim": {""}, "ingest-worker": {"grpc"}, "orchestrator": {"grpc", "http"}}[program]
	env := []string{"AFTERBELL_TUSHARE_TOKEN=a-token-of-the-tests"}
	p, err := stack.Start(h.t.Context(), h.bin, program, filepath.Join(data, "logs", program+".log"), args, env, listens...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := p.Stop(30 * time.Second); err != nil {
			h.t.Error(err)
		}
		if h.t.Failed() {
			h.t.Logf("%s: %s", program, p.Tail())
		}
	})
	return p
}

// run runs a program to its end on the host.
func (h *host) run(program string, args ...string) said {
	h.t.Helper()
	c := exec.CommandContext(h.t.Context(), filepath.Join(h.bin, program), args...)
	c.Env = append(os.Environ(), "AFTERBELL_LANG=en")
	var out, errout strings.Builder
	c.Stdout, c.Stderr = &out, &errout
	_ = c.Run() // the exit code is checked below
	return said{c.ProcessState.ExitCode(), out.String(), errout.String()}
}

// want runs the command and checks its exit code and words.
func (h *host) want(code int, command string, parts ...string) said {
	h.t.Helper()
	got := h.run("afterbell", strings.Fields(command)...)
	if got.code != code {
		h.t.Errorf("afterbell %s: exit code %d, want %d\n%s%s", command, got.code, code, got.out, got.err)
	}
	for _, part := range parts {
		if !strings.Contains(got.out+got.err, part) {
			h.t.Errorf("afterbell %s does not say %q:\n%s%s", command, part, got.out, got.err)
		}
	}
	return got
}

// Worker and orchestrator on two machines: with certificates of afterbell certs and a key that is
// created on the host, an evening is filled over the network, and other clients are refused.
func TestTwoHosts(t *testing.T) {
	t.Parallel()
	desk, store := twoHosts(t)
	dir, deskData, storeData := t.TempDir(), t.TempDir(), t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	desk.want(0, "certs --dir "+dir+" --orchestrator-host "+desk.addr+" --worker-host "+store.addr, "worker.crt")
	if err := os.WriteFile(in("secret"), []byte(strings.Repeat("0f", 32)), 0o600); err != nil {
		t.Fatal(err)
	}

	// What is not guarded does not start beyond loopback.
	if got := store.run("ingest-worker", "--data-dir", storeData, "--grpc-addr", store.addr+":0"); got.code != 2 || !strings.Contains(got.err, "--client-ca") || strings.Count(got.err, "\n") != 1 {
		t.Errorf("a worker without guard: %+v", got)
	}
	tls := []string{"--tls-cert", in("orchestrator.crt"), "--tls-key", in("orchestrator.key"), "--schedule=false"}
	listen := []string{"--grpc-addr", desk.addr + ":0", "--http-addr", desk.addr + ":0", "--data-dir", deskData}
	if got := desk.run("orchestrator", append(listen, tls...)...); got.code != 2 || !strings.Contains(got.err, "orchestrator keys create") || strings.Count(got.err, "\n") != 1 {
		t.Errorf("an orchestrator without a key: %+v", got)
	}
	made := desk.run("orchestrator", "keys", "create", "desk", "--role", "admin", "--data-dir", deskData)
	if made.code != 0 || !strings.HasPrefix(made.out, "abk_") {
		t.Fatalf("the first key: %+v", made)
	}
	if err := os.WriteFile(in("admin.key"), []byte(made.out), 0o600); err != nil {
		t.Fatal(err)
	}

	sim := store.start("tushare-sim", storeData, "--addr", "127.0.0.1:0", "--stocks", "120", "--funds", "60")
	worker := store.start("ingest-worker", storeData, "--data-dir", storeData, "--grpc-addr", store.addr+":0", "--tushare-url", "http://"+sim.Addr(""),
		"--rate-limit", "0", "--universe-window", "8d", "--targets-window", "8d",
		"--tls-cert", in("worker.crt"), "--tls-key", in("worker.key"), "--client-ca", in("ca.crt"), "--secret-file", in("secret"))
	away := append(tls, "--worker-addr", worker.Addr("grpc"), "--worker-ca", in("ca.crt"))
	orchestrator := desk.start("orchestrator", deskData, append(append(listen, away...), "--worker-cert", in("orchestrator.crt"), "--worker-key", in("orchestrator.key"))...)

	// From the other machine, with the key.
	as := " --orchestrator " + orchestrator.Addr("grpc") + " --ca " + in("ca.crt") + " --key-file " + in("admin.key")
	store.want(0, "run universe --watch"+as, "succeeded")
	store.want(0, "coverage universe --require complete"+as)
	store.want(0, "doctor --http-addr "+orchestrator.Addr("http")+" --tushare-url http://"+sim.Addr("")+" --data-dir "+storeData+as, "responds at "+orchestrator.Addr("http"))
	reader := store.want(0, "keys create notebooks --role viewer --expires 1h"+as)
	if err := os.WriteFile(in("viewer.key"), []byte(reader.out), 0o600); err != nil {
		t.Fatal(err)
	}
	store.want(0, "audit"+as, "RunService.CreateRun", store.addr, "host")

	// Without, or with less.
	plain := " --orchestrator " + orchestrator.Addr("grpc")
	store.want(1, "runs"+plain+" --ca "+in("ca.crt"), "UNAUTHENTICATED")
	store.want(5, "runs"+plain, "requires TLS")
	store.want(5, "runs"+plain+" --ca system", "TLS connection")
	store.want(5, "doctor"+plain+" --data-dir "+storeData+" --tushare-url http://"+sim.Addr(""), "an orchestrator that requires TLS")
	viewer := plain + " --ca " + in("ca.crt") + " --key-file " + in("viewer.key")
	store.want(0, "runs"+viewer, "succeeded")
	store.want(1, "run universe"+viewer, "ROLE_REQUIRED")

	// Another orchestrator on the same wire is served only with the secret.
	for i, c := range []struct {
		proof []string
		code  int
		says  string
	}{
		{[]string{"--worker-cert", in("worker.crt"), "--worker-key", in("worker.key")}, 5, "WORKER_UNREACHABLE"},
		{[]string{"--worker-secret-file", in("secret")}, 0, ""},
	} {
		data := t.TempDir()
		other := desk.start("orchestrator", data, append([]string{"--data-dir", data, "--grpc-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--schedule=false",
			"--worker-addr", worker.Addr("grpc"), "--worker-ca", in("ca.crt")}, c.proof...)...)
		got := desk.want(c.code, "coverage universe --orchestrator "+other.Addr("grpc"), c.says)
		if t.Failed() {
			t.Logf("proof %d: %+v", i, got)
		}
	}
	// No file or log has a key or a secret.
	for _, secret := range []string{strings.TrimSpace(made.out), strings.TrimSpace(reader.out), strings.Repeat("0f", 32)} {
		for _, data := range []string{deskData, storeData} {
			if out, err := exec.Command("grep", "-rlF", secret, data).Output(); err == nil {
				t.Errorf("a key or secret is in %s", out)
			}
		}
	}
}
