package vault

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/afterbell/afterbell/services/internal/fault"
)

const (
	keyFile = "vault.key"
	keySize = 32
)

// loadKey reads the key of the data directory, or creates one. The file is created
// atomically, and if two processes create it at once, one wins.
func loadKey(dir string, log *slog.Logger) ([]byte, error) {
	path := filepath.Join(dir, keyFile)
	for {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			if err := makeKey(dir, path); err != nil && !errors.Is(err, fs.ErrExist) {
				return nil, fmt.Errorf("making %s: %w", path, err)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().Perm()&0o077 != 0 {
			log.Warn("other users can read the key of the token's fingerprint; run chmod 600 on the file", "file", path)
		}
		key, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if len(key) != keySize {
			return nil, fmt.Errorf("%s has %s instead of %d; remove the file, and the next start creates a new one", path, fault.Count(len(key), "byte", "bytes"), keySize)
		}
		return key, nil
	}
}

func makeKey(dir, path string) error {
	key := make([]byte, keySize)
	_, _ = rand.Read(key)                            // never fails
	tmp, err := os.CreateTemp(dir, keyFile+".*.tmp") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(key)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err = os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		err = os.Rename(tmp.Name(), path) // a file system without links
	}
	return err
}
