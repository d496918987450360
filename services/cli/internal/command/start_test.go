package command

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// maxInit is how many bytes a package may allocate when the program starts. A page of
// the heap that is touched first costs about as much as a thousand calls.
const maxInit = 16 << 10

// TestStartIsLight fails if a package of ours does much before main: compiles a pattern,
// or builds a table that most commands do not read.
func TestStartIsLight(t *testing.T) {
	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	line := regexp.MustCompile(`(?m)^init (github\.com/afterbell/afterbell/\S+) @.* (\d+) bytes, `)
	found := line.FindAllStringSubmatch(string(out), -1)
	if len(found) == 0 {
		t.Fatalf("no package of ours is in the trace:\n%s", out)
	}
	for _, m := range found {
		if strings.Contains(m[1], "/gen/") { // its size is that of the contracts
			continue
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		if n > maxInit {
			t.Errorf("package %s allocates %d bytes at start, more than %d: build what it needs when it is first used (sync.OnceValue)", m[1], n, maxInit)
		}
	}
}
