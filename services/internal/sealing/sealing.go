package sealing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"

	"filippo.io/age"

	"github.com/afterbell/afterbell/services/internal/atomicfile"
	"github.com/afterbell/afterbell/services/internal/fault"
)

const (
	// maxKey is the largest key file, in bytes.
	maxKey = 4096
	// maxSealed is the largest encrypted value, in bytes.
	maxSealed = 1 << 20
)

// ErrNoKey means that there is no key yet.
var ErrNoKey = errors.New("there is no key")

// Key says where the key of a Box, an age identity, comes from. At most one of Text and
// File is set; with neither, the file at Path has it, and Seal creates that file.
type Key struct {
	// Text is the identity itself, and File the path of a file with it.
	Text, File string
	// Variable is the environment variable of Text; that of File has the suffix _FILE.
	Variable string
	// Field names the key in errors, for example "vault-key-file".
	Field string
	// Path of the file that Seal creates.
	Path string
	// Comment is the first line of that file: what the key is for.
	Comment string
	// Log gets a warning about a file that others can read. Nil means slog.Default().
	Log *slog.Logger
}

// String is the path, never the key.
func (k Key) String() string { return k.Path }

// Format writes String for every verb.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, k.String()) }

// Given reports whether the key comes from the environment.
func (k Key) Given() bool { return k.Text != "" || k.File != "" }

// Box encrypts and decrypts. It is safe for concurrent use.
type Box struct {
	key Key

	mu       sync.Mutex
	identity *age.X25519Identity // nil before the first Seal
}

// New reads the key. INVALID_ARGUMENT names the field of an invalid one; a missing key is
// no error.
func New(k Key) (*Box, error) {
	if k.Log == nil {
		k.Log = slog.Default()
	}
	identity, err := k.load()
	if err != nil {
		return nil, err
	}
	return &Box{key: k, identity: identity}, nil
}

func (k Key) load() (*age.X25519Identity, error) {
	name, text := k.Variable, strings.TrimSpace(k.Text)
	switch {
	case text != "" && k.File != "":
		return nil, fault.Invalid(k.Field, "%s and %s_FILE are both set; set one of them", k.Variable, k.Variable)
	case text == "":
		if name = k.File; name == "" {
			name = k.Path
		}
		raw, err := ReadFile(name, maxKey)
		if k.File == "" && errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fault.Invalid(k.Field, "%s %v", name, Plain(err))
		}
		if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o077 != 0 {
			k.Log.Warn("other users can read a key; run chmod 600 on the file", "file", name)
		}
		text = string(raw)
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if identity, err := age.ParseX25519Identity(line); err == nil {
			return identity, nil
		}
		break
	}
	return nil, fault.Invalid(k.Field, "%s holds no age identity (AGE-SECRET-KEY-1…); age-keygen makes one", name)
}

// Where says where the key is read from.
func (b *Box) Where() string {
	switch {
	case b.key.File != "":
		return b.key.File
	case b.key.Text != "":
		return b.key.Variable
	}
	return b.key.Path
}

// Seal encrypts. The first Seal without a key creates one.
func (b *Box) Seal(clear []byte) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.identity == nil {
		identity, err := age.GenerateX25519Identity()
		if err == nil {
			err = atomicfile.Write(b.key.Path, []byte("# "+b.key.Comment+"\n"+identity.String()+"\n"), 0o600)
		}
		if err != nil {
			return nil, err
		}
		b.identity = identity
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, b.identity.Recipient())
	if err == nil {
		_, err = w.Write(clear)
	}
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}

// Open decrypts. ErrNoKey means that there is no key; any other error, that the key is a
// different one or the value is damaged. No error quotes the decrypted value.
func (b *Box) Open(sealed []byte) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.identity == nil {
		return nil, ErrNoKey
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), b.identity)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxSealed))
}

// ReadFile reads a file of at most so many bytes.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(raw)) > most {
		err = fmt.Errorf("is larger than %d bytes", most)
	}
	return raw, err
}

// Plain removes the operation and the path from an error, because the message around it
// names them.
func Plain(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("cannot be read: %w", p.Err)
	}
	return err
}
