package platformtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mails is an SMTP server that takes mail over STARTTLS alone, after AUTH.
type Mails struct {
	// Port it listens at on 127.0.0.1.
	Port int
	// CA is the certificate that vouches for it, in PEM.
	CA []byte

	mu     sync.Mutex
	taken  []string
	refuse []string
	calls  int
}

// Texts are the bodies of the mails that were taken, without their line ends.
func (s *Mails) Texts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.taken...)
}

// Refuse lets the next mails fail: "5xx" refuses the sender for now, "rate" the mail,
// "sign" the password, "hang up" cuts the line.
func (s *Mails) Refuse(how ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = append(s.refuse, how...)
}

// Roots is a pool with the server's authority.
func (s *Mails) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CA)
	return pool
}

// StartMails starts the server; it stops with the test.
func StartMails(t testing.TB) *Mails {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Mails{Port: lis.Addr().(*net.TCPAddr).Port, CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }() // the client may be gone already
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				s.serve(conn, config)
			})
		}
	})
	t.Cleanup(func() {
		_ = lis.Close()
		all.Wait()
	})
	return s
}

func (s *Mails) next() (how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if len(s.refuse) > 0 {
		how, s.refuse = s.refuse[0], s.refuse[1:]
	}
	return how
}

// serve speaks as much of SMTP as a client needs.
func (s *Mails) serve(conn net.Conn, config *tls.Config) {
	how := s.next()
	in := bufio.NewReader(conn)
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
	secure, known := false, false
	say("220 mail.test ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			if secure {
				say("250-mail.test\r\n250 AUTH PLAIN LOGIN")
			} else {
				say("250-mail.test\r\n250 STARTTLS")
			}
		case "STARTTLS":
			say("220 go ahead")
			over := tls.Server(conn, config)
			conn, in, secure = over, bufio.NewReader(over), true
		case "AUTH":
			if how == "hang up" {
				return
			}
			method, initial, _ := strings.Cut(rest, " ")
			plain, err := base64.StdEncoding.DecodeString(initial)
			if how == "sign" || method != "PLAIN" || err != nil || string(plain) != "\x00desk@mail.test\x00"+Secret {
				say("535 5.7.8 Error: authentication failed: %s", plain) // a server that is careless with what it got
				continue
			}
			known = true
			say("235 2.7.0 OK")
		case "MAIL":
			switch {
			case !secure || !known:
				say("530 5.7.0 Must issue a STARTTLS command and authenticate first")
			case how == "5xx":
				say("451 4.3.0 Temporary lookup failure")
			default:
				say("250 2.1.0 OK")
			}
		case "RCPT", "NOOP", "RSET":
			say("250 2.1.5 OK")
		case "DATA":
			say("354 end with a dot")
			text := readData(in)
			if how == "rate" {
				say("452 4.2.2 Too many messages, try again later")
				continue
			}
			s.mu.Lock()
			s.taken = append(s.taken, text)
			s.mu.Unlock()
			say("250 2.0.0 queued")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("502 5.5.2 not known")
		}
	}
}

func readData(in *bufio.Reader) string {
	var raw strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil || line == ".\r\n" {
			break
		}
		raw.WriteString(strings.TrimPrefix(line, "."))
	}
	m, err := mail.ReadMessage(strings.NewReader(raw.String()))
	if err != nil {
		return "a mail that cannot be read: " + err.Error()
	}
	body := io.Reader(m.Body)
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return "a body that cannot be read: " + err.Error()
	}
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
}
