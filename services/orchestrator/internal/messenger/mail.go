package messenger

import (
	"context"
	"crypto/tls"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
)

const (
	submission = 587 // STARTTLS
	smtps      = 465 // TLS from the first byte
)

// mail sends through an SMTP server, always with TLS. The Message-ID is that of the
// delivery, so that a mail program shows a message that was sent twice only once.
func (m *Messenger) mail(ctx context.Context, c notice.Channel, n notice.Notice, d notice.Delivery) error {
	message := mail.NewMsg()
	if err := message.From(c.From); err != nil {
		return err
	}
	if err := message.To(c.To...); err != nil {
		return err
	}
	message.Subject(n.Title(c.Language))
	message.SetMessageIDWithValue(d.ID + "@afterbell")
	message.SetDateWithValue(m.now())
	message.SetBodyString(mail.TypeTextPlain, mailText(n, c.Language))

	port := c.Port
	if port == 0 {
		port = submission
	}
	options := []mail.Option{mail.WithPort(port), mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTimeout(15 * time.Second)}
	if port == smtps {
		options = append(options, mail.WithSSL())
	}
	if m.tls != nil {
		config := m.tls.Clone()
		config.ServerName, config.MinVersion = c.Host, tls.VersionTLS12
		options = append(options, mail.WithTLSConfig(config))
	}
	if c.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(c.User), mail.WithPassword(string(c.Secret)))
	}
	client, err := mail.NewClient(c.Host, options...)
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, message)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// mailText is the text of the notice, and the remedy of each pool that has one.
func mailText(n notice.Notice, l notice.Language) string {
	var b strings.Builder
	text := n.Text(l) // which may contain the remedy already
	b.WriteString(text + "\n")
	for _, p := range n.Pools {
		if p.Message == "" || p.Verdict == notice.Whole {
			continue
		}
		message, remedy := p.MessageAndRemedy(l)
		b.WriteString("\n" + string(p.Pool) + ": ")
		if p.Reason != "" {
			b.WriteString(string(p.Reason) + ": ")
		}
		b.WriteString(message + "\n")
		if !strings.Contains(text, remedy) {
			b.WriteString(remedy + "\n")
		}
	}
	return b.String()
}
