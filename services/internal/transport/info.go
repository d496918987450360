package transport

import (
	"os"
	"path/filepath"
	"runtime"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/program"
	"github.com/afterbell/afterbell/services/internal/volume"
)

// Info describes this process, which started at a time and owns the named files of a data
// directory. It opens no file.
func Info(started time.Time, dir string, names ...string) *marketv1.ServiceInfo {
	info := &marketv1.ServiceInfo{
		Commit: program.Commit(), CommitTime: TimeToProto(program.CommitTime()), GoVersion: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, StartTime: TimeToProto(started),
	}
	if path, err := filepath.Abs(dir); err == nil {
		info.DataDir = path
	}
	for _, name := range names {
		if f, err := os.Stat(filepath.Join(dir, name)); err == nil {
			info.Files = append(info.Files, &marketv1.StoredFile{Name: name, SizeBytes: f.Size(), WalBytes: walBytes(filepath.Join(dir, name))})
		}
	}
	if n, err := volume.FreeBytes(filepath.Join(dir, "here")); err == nil {
		info.FreeBytes = n
	}
	return info
}

// walBytes is the size of the write-ahead log of a SQLite or DuckDB file.
func walBytes(path string) int64 {
	for _, suffix := range []string{"-wal", ".wal"} {
		if f, err := os.Stat(path + suffix); err == nil {
			return f.Size()
		}
	}
	return 0
}
