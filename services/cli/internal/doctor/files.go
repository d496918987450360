package doctor

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ledgerFile is the file by which a data directory is known.
const ledgerFile = "market-cache.sqlite"

// poolFiles are opened by the worker alone; here they are only looked at.
var poolFiles = []string{"targets.sqlite", "analysis.duckdb"}

// poolOf is the pool of a file.
var poolOf = map[string]string{"targets.sqlite": "targets", "analysis.duckdb": "universe"}

// Room on the volume: below tight a first fill may not fit, below least nothing does.
const (
	tightBytes = 5 << 30
	leastBytes = 500 << 20
)

// files examines the data directory without opening its files.
func (d *doctor) files() {
	const check = "files"
	dir, err := d.dataDir()
	if err != nil {
		d.add(check, Skipped, d.T("%s: %s", d.DataDir, d.cause(err)), d.T("Pass the directory that the services were started with: %s", d.again()))
		return
	}
	d.disk(dir)
	bad := false
	for _, name := range append([]string{ledgerFile}, poolFiles...) {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if name != ledgerFile && d.reached && !d.elsewhere(dir) {
				bad = true
				remedy := d.T("The worker creates it at its start: %s", "bin/ingest-worker --data-dir "+shellWord(dir))
				if pid := holder(dir, "ingest-worker"); pid != 0 && alive(pid) { // it was moved away, or not written yet
					remedy = d.T("A run creates it: %s", "afterbell run "+poolOf[name]+" --watch")
				}
				d.add(check, Notice, d.T("%s does not exist", path), remedy)
			}
		case err != nil:
			bad = true
			d.add(check, Wrong, d.T("%s: %s", path, d.cause(err)), d.T("Change its owner to the user of the services: %s", "sudo chown -R \"$USER\" "+shellWord(dir)))
		case !info.Mode().IsRegular():
			bad = true
			d.add(check, Wrong, d.T("%s is not a file", path), d.T("Move it away: %s", "mv "+shellWord(path)+" "+shellWord(path+".old")))
		case !writable(path):
			bad = true
			d.add(check, Wrong, d.T("%s is not writable by this user", path), d.T("Make it writable: %s", "chmod u+rw "+shellWord(path)))
		}
	}
	for _, name := range []string{"vault.key", "vault", "vault.identity", "ledger.identity"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().Perm()&0o077 != 0 && posix {
			bad = true
			d.add(check, Wrong, d.T("%s is readable by other users", name), d.T("Restrict it to its owner: %s", "chmod 600 "+shellWord(filepath.Join(dir, name))))
		}
	}
	if !writable(dir) {
		bad = true
		d.add(check, Wrong, d.T("%s is not writable by this user", dir), d.T("Make it writable: %s", "chmod u+rwx "+shellWord(dir)))
	}
	if !bad {
		d.add(check, Fine, d.T("all there in %s", dir), "")
	}
	d.locks(dir)
}

// shellWord writes a path as one word of a shell command.
func shellWord(path string) string {
	if strings.Trim(path, plain) == "" && path != "" {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// plain are characters that mean nothing else to a shell.
const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+:@%,"

// again returns the command that examines the directory that the orchestrator uses.
func (d *doctor) again() string {
	return "afterbell doctor --data-dir " + shellWord(cmp.Or(d.used, "DIRECTORY"))
}

// elsewhere reports whether the orchestrator uses a directory other than dir.
func (d *doctor) elsewhere(dir string) bool {
	if d.used == "" {
		return false
	}
	here, err := os.Stat(dir)
	there, usedErr := os.Stat(d.used)
	return err != nil || usedErr != nil || !os.SameFile(here, there)
}

// dataDir is the directory with the ledger: the one given, or the only one below it.
// `make run` keeps one for each provider there.
func (d *doctor) dataDir() (string, error) {
	info, err := os.Stat(d.DataDir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", errors.New(d.T("it is not a directory"))
	}
	if _, err := os.Stat(filepath.Join(d.DataDir, ledgerFile)); !errors.Is(err, fs.ErrNotExist) {
		return d.DataDir, nil
	}
	below, err := filepath.Glob(filepath.Join(d.DataDir, "*", ledgerFile))
	if err != nil {
		return "", err
	}
	var used []string
	for _, path := range below {
		dir := filepath.Dir(path)
		if pid := holder(dir, "orchestrator"); pid != 0 && alive(pid) {
			used = append(used, dir)
		}
	}
	switch {
	case len(used) == 1:
		return used[0], nil
	case len(below) == 1:
		return filepath.Dir(below[0]), nil
	}
	return "", errors.New(d.T("there is no %s in it", ledgerFile))
}

func (d *doctor) disk(dir string) {
	free, err := freeBytes(dir)
	if err != nil {
		d.add("disk", Skipped, d.T("the free space is not known: %s", d.cause(err)), "")
		return
	}
	switch remedy := d.T("Free space on the disk: %s", "df -h "+shellWord(dir)); {
	case free < leastBytes:
		d.add("disk", Wrong, d.T("%s free in %s", size(free), dir), remedy)
	case free < tightBytes:
		d.add("disk", Notice, d.T("%s free in %s", size(free), dir), remedy)
	default:
		d.add("disk", Fine, d.T("%s free in %s", size(free), dir), "")
	}
}

// holder is the process that has a service's lock, 0 if there is none.
func holder(dir, service string) int {
	text, err := os.ReadFile(filepath.Join(dir, service+".lock"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// locks reports which processes have a lock: the services on their directory, and others on
// a pool's file.
func (d *doctor) locks(dir string) {
	const check = "locks"
	worker := holder(dir, "ingest-worker")
	bad := false
	for _, service := range []string{"orchestrator", "ingest-worker"} {
		pid := holder(dir, service)
		switch {
		case pid == 0 || !alive(pid):
			if service == "orchestrator" && d.reached {
				bad = true
				d.add(check, Notice, d.T("the orchestrator that responds does not use %s", dir), d.T("Pass the directory that it uses: %s", d.again()))
			}
		case service == "orchestrator" && !d.reached:
			bad = true
			d.add(check, Wrong, d.T("an orchestrator (pid %d) uses %s but does not respond at %s", pid, dir, d.Client.Addr()), d.T("Pass its address, which is in its log, with --orchestrator, or stop it: %s", "kill "+strconv.Itoa(pid)))
		case replaced(pid):
			bad = true
			d.add("versions", Notice, d.T("the running %s (pid %d) is older than the file on disk", service, pid), d.T("Restart it with the same flags: %s", "kill "+strconv.Itoa(pid)))
		}
	}
	for _, name := range poolFiles {
		path, err := filepath.Abs(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			continue
		}
		for _, pid := range openedBy(path) {
			if pid == worker || name != "analysis.duckdb" {
				continue // readers of SQLite block nobody
			}
			bad = true
			d.add(check, Wrong, d.T("process %d (%s) has %s open, which blocks the next run", pid, programOf(pid), name), d.T("Let that program read published/universe.duckdb instead; close the file there, or stop the process: %s", "kill "+strconv.Itoa(pid)))
		}
	}
	if !bad {
		d.add(check, Fine, d.T("no other program has a file open"), "")
	}
}

// openedBy are the processes that have a file open, as far as this user may see.
func openedBy(path string) (pids []int) {
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return nil
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != path {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err == nil && pid != os.Getpid() && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func programOf(pid int) string {
	name, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(name))
}

// replaced reports whether a process's program was replaced on the disk since it
// started.
func replaced(pid int) bool {
	target, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	return err == nil && strings.HasSuffix(target, " (deleted)")
}
