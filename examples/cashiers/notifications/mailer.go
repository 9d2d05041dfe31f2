package notifications

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/smtp"
	"net/textproto"
	"net/url"
	"time"

	"github.com/tidings-go/tidings"
)

// Mail is what a mailer sends.
type Mail struct {
	// ID is the same whenever this mail is sent again: a mail server that knows it delivers the mail once.
	ID                string
	To, Subject, Text string
}

// Mailer sends a mail. An error that is a [tidings.DeadLetter] is for good; after any other the mail is sent again.
type Mailer func(ctx context.Context, m Mail) error

// Log is a mailer that only logs.
func Log(log *slog.Logger) Mailer {
	return func(ctx context.Context, m Mail) error {
		log.LogAttrs(ctx, slog.LevelInfo, "a mail is sent", slog.String("to", m.To), slog.String("subject", m.Subject))
		return nil
	}
}

// from sends all mails, and patience is how long one may take.
const (
	from     = "cashiers@tidings.example"
	patience = 30 * time.Second
)

// SMTP is a mailer that hands mails to a mail server ("host:port") nearby: it neither encrypts nor logs in.
func SMTP(address string) Mailer {
	return func(ctx context.Context, m Mail) error {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("reach the mail server: %w", err)
		}
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // it ends what waits for the server
		c, err := smtp.NewClient(conn, address)
		if err != nil {
			return errors.Join(fmt.Errorf("greet the mail server: %w", err), conn.Close())
		}
		defer func() { _ = c.Close() }() // what counts is whether the server has taken the mail
		if err = send(c, m); err != nil {
			return forGood(fmt.Errorf("mail to %s: %w", m.To, err))
		}
		_ = c.Quit() // it has taken it
		return nil
	}
}

func send(c *smtp.Client, m Mail) error {
	if err := c.Mail(from); err != nil {
		return err
	}
	if err := c.Rcpt(m.To); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "From: %s\nTo: %s\nSubject: %s\nDate: %s\nMessage-ID: <%s@tidings.example>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n%s\n",
		from, m.To, mime.QEncoding.Encode("utf-8", m.Subject), time.Now().Format(time.RFC1123Z), url.QueryEscape(m.ID), m.Text)
	if err != nil {
		return err
	}
	return w.Close()
}

// forGood marks errors that the server will not take back: no such mailbox, say.
func forGood(err error) error {
	if answer, ok := errors.AsType[*textproto.Error](err); ok && answer.Code >= 500 {
		return tidings.DeadLetter(err)
	}
	return err
}
