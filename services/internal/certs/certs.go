// Package certs creates the certificates of a desk's two machines: a private CA, and
// one certificate each for the orchestrator and the ingest-worker.
package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/internal/atomicfile"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// ClientName is the DNS name in the orchestrator's certificate by which the worker
// recognizes it.
const ClientName = "afterbell-orchestrator"

// Bounds of a certificate's lifetime.
const (
	// DefaultDays is how long a certificate is valid.
	DefaultDays = 825
	// MaxDays is the longest that a certificate may be valid, and how long the CA is.
	MaxDays = 3650
)

// backdate covers clocks that differ between the machines.
const backdate = time.Hour

// Request says what to create.
type Request struct {
	// Dir is the directory for the files; it is created if it does not exist.
	Dir string
	// Orchestrator and Worker are the host names and IP addresses by which each is
	// reached. localhost and the loopback addresses are always added. Empty means those of
	// the certificate that the directory has.
	Orchestrator, Worker []string
	// Days is how long the two certificates are valid, 1 to 3,650. 0 means 825.
	Days int
	// Now is the current time.
	Now time.Time
}

// Result says what was created.
type Result struct {
	// Files that were written, in order.
	Files []string
	// Orchestrator and Worker are the names and addresses that the certificates are for,
	// without localhost and the loopback addresses.
	Orchestrator, Worker []string
	// NewCA is false if the CA of the directory was used again.
	NewCA bool
	// Expires is when the two certificates expire.
	Expires time.Time
}

type pair struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Make writes ca.crt, ca.key, and a .crt and .key file each for orchestrator and worker.
// If the directory already holds a CA, it signs the new certificates, so that the other
// machines need no new ca.crt. Each file is replaced as a whole, and private keys are
// readable by their owner only.
func Make(r Request) (Result, error) {
	if r.Days == 0 {
		r.Days = DefaultDays
	}
	if r.Days < 1 || r.Days > MaxDays {
		return Result{}, fault.Invalid("days", "%d is not from 1 to %d", r.Days, MaxDays)
	}
	for field, hosts := range map[string][]string{"orchestrator": r.Orchestrator, "worker": r.Worker} {
		for _, h := range hosts {
			if _, err := netip.ParseAddr(h); err != nil && !hostName().MatchString(h) {
				return Result{}, fault.Invalid(field, "%.80q is neither a host name nor an IP address", h)
			}
		}
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return Result{}, fault.Invalid("dir", "%s cannot be created: %v", r.Dir, cause(err))
	}
	out := Result{Expires: r.Now.AddDate(0, 0, r.Days)}
	ca, err := readCA(r)
	if errors.Is(err, fs.ErrNotExist) {
		out.NewCA = true
		if ca, err = newCA(r.Now); err == nil {
			err = out.write(r.Dir, "ca", ca)
		}
	}
	if err != nil {
		return out, err
	}
	if out.Orchestrator = r.Orchestrator; len(out.Orchestrator) == 0 {
		out.Orchestrator = hostsOf(r.Dir, "orchestrator")
	}
	if out.Worker = r.Worker; len(out.Worker) == 0 {
		out.Worker = hostsOf(r.Dir, "worker")
	}
	if out.Expires.After(ca.cert.NotAfter) {
		out.Expires = ca.cert.NotAfter
	}
	for _, leaf := range []struct {
		name  string
		hosts []string
		usage []x509.ExtKeyUsage
	}{
		{"orchestrator", append([]string{ClientName}, out.Orchestrator...), []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}},
		{"worker", out.Worker, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, // it never shows itself as a client
	} {
		p, err := issue(ca, template("afterbell "+leaf.name, r.Now, out.Expires), leaf.hosts, leaf.usage)
		if err != nil {
			return out, err
		}
		if err := out.write(r.Dir, leaf.name, p); err != nil {
			return out, err
		}
	}
	return out, nil
}

var hostName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
})

func template(name string, from, to time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: from.Add(-backdate), NotAfter: to,
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
}

func newCA(now time.Time) (pair, error) {
	t := template("afterbell private CA", now, now.AddDate(0, 0, MaxDays))
	t.IsCA, t.MaxPathLenZero = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return sign(pair{cert: t}, t)
}

// Own are the names that every certificate has in addition to its hosts.
var Own = []string{"localhost", "127.0.0.1", "::1"}

// hostsOf are the hosts of a certificate that the directory has, so that renewing it
// keeps them. None if there is no certificate that can be read.
func hostsOf(dir, name string) (hosts []string) {
	text, err := os.ReadFile(filepath.Join(dir, name+".crt"))
	if err != nil {
		return nil
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	all := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	return slices.DeleteFunc(all, func(h string) bool { return h == ClientName || slices.Contains(Own, h) })
}

func issue(ca pair, t *x509.Certificate, hosts []string, usage []x509.ExtKeyUsage) (pair, error) {
	t.ExtKeyUsage = usage
	for _, h := range append(slices.Clone(Own), hosts...) {
		if ip, err := netip.ParseAddr(h); err == nil {
			t.IPAddresses = append(t.IPAddresses, ip.WithZone("").AsSlice())
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return sign(ca, t)
}

// sign creates a key and its certificate. A CA without a key signs itself.
func sign(ca pair, t *x509.Certificate) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return pair{}, err
	}
	signer := ca.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, key.Public(), signer)
	if err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return pair{cert, key}, err
}

func (out *Result) write(dir, name string, p pair) error {
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, kind string
		body       []byte
		mode       fs.FileMode
	}{
		{name + ".key", "PRIVATE KEY", key, 0o600},
		{name + ".crt", "CERTIFICATE", p.cert.Raw, 0o644},
	} {
		path := filepath.Join(dir, f.name)
		if err := atomicfile.Write(path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.body}), f.mode); err != nil {
			return fault.Invalid("dir", "%s cannot be written: %v", path, cause(err))
		}
		out.Files = append(out.Files, path)
	}
	return nil
}

// readCA returns the CA of the directory; fs.ErrNotExist if there is none.
func readCA(r Request) (pair, error) {
	certPath, keyPath := filepath.Join(r.Dir, "ca.crt"), filepath.Join(r.Dir, "ca.key")
	cert, err := os.ReadFile(certPath)
	if err != nil {
		return pair{}, unreadable(certPath, err)
	}
	key, err := os.ReadFile(keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		return pair{}, fault.Invalid("dir", "%s is missing beside ca.crt; copy it here to sign with this CA, or choose an empty --dir for a new one", keyPath)
	}
	if err != nil {
		return pair{}, unreadable(keyPath, err)
	}
	certBlock, _ := pem.Decode(cert)
	keyBlock, _ := pem.Decode(key)
	if certBlock == nil || keyBlock == nil {
		return pair{}, fault.Invalid("dir", "%s and %s are not PEM files", certPath, keyPath)
	}
	c, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return pair{}, fault.Invalid("dir", "%s is not a certificate", certPath)
	}
	k, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	signer, ok := k.(crypto.Signer)
	public, known := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case err != nil || !ok || !known || !public.Equal(signer.Public()):
		return pair{}, fault.Invalid("dir", "%s is not the private key of %s", keyPath, certPath)
	case !c.IsCA:
		return pair{}, fault.Invalid("dir", "%s is not the certificate of a CA", certPath)
	case r.Now.After(c.NotAfter):
		return pair{}, fault.Invalid("dir", "%s expired at %s; choose an empty --dir for a new CA", certPath, c.NotAfter.Format(time.RFC3339))
	}
	return pair{c, signer}, nil
}

func unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fault.Invalid("dir", "%s cannot be read: %v", path, cause(err))
}

// cause is an error of a file without the path, which the message names.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return fmt.Errorf("%w", err)
}
