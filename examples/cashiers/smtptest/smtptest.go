// Package smtptest is a mail server for tests. It takes mails over SMTP, and knows a mail that comes again by its Message-ID: that is delivered once, as real mail
// servers and mail programs do it.
package smtptest

import (
	"fmt"
	"io"
	"mime"
	"net"
	"net/mail"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Mail is a mail that was delivered.
type Mail struct {
	// ID is the Message-ID, without its brackets, host and escapes.
	ID, To, Subject, Text string
}

// Server is a mail server. Make one with [Start].
type Server struct {
	// Addr is where it listens, as HOST:PORT.
	Addr string

	tb       testing.TB
	listener net.Listener
	working  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool // nil when it ends
	mails  []Mail
	known  map[string]bool
	taken  int
	refuse string
}

// Start starts a mail server at an address ("127.0.0.1:0": any free port), and ends it with the test.
func Start(tb testing.TB, address string) *Server {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{Addr: listener.Addr().String(), tb: tb, listener: listener, conns: map[net.Conn]bool{}, known: map[string]bool{}}
	s.working.Go(s.accept)
	tb.Cleanup(s.stop)
	return s
}

// Refuse makes the server say from now on that it has no mailbox of that name. Others have one.
func (s *Server) Refuse(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = address
}

// Mails are the mails that were delivered, in their order.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mail(nil), s.mails...)
}

// Taken is how many mails were taken, those that came again too.
func (s *Server) Taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (s *Server) stop() {
	_ = s.listener.Close() // then accept ends
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.working.Wait()
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.conns == nil {
			_ = conn.Close()
		} else {
			s.conns[conn] = true
			s.working.Go(func() { s.serve(conn) })
		}
		s.mu.Unlock()
	}
}

// serve talks with one client until that leaves, or dies.
func (s *Server) serve(conn net.Conn) {
	text := textproto.NewConn(conn)
	defer func() {
		_ = text.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	}()
	to, answer := "", "220 smtptest"
	for text.PrintfLine("%s", answer) == nil {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO", "HELO":
			answer = "250 smtptest"
		case "MAIL", "RSET":
			to, answer = "", "250 OK"
		case "RCPT":
			to = between(rest)
			answer = s.mailbox(to)
		case "DATA":
			answer = s.data(text, to)
		case "QUIT":
			_ = text.PrintfLine("221 Bye") // it is leaving anyway
			return
		default:
			answer = "500 What?"
		}
	}
}

// mailbox is the answer to a recipient.
func (s *Server) mailbox(address string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if address == s.refuse {
		return "550 No such mailbox"
	}
	return "250 OK"
}

// data takes a mail. One that breaks off is not taken.
func (s *Server) data(text *textproto.Conn, to string) string {
	if err := text.PrintfLine("354 Go on"); err != nil {
		return "451 Gone"
	}
	m, err := read(text.DotReader())
	if err != nil {
		return fmt.Sprintf("554 %v", err)
	}
	m.To = to
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	if !s.known[m.ID] {
		s.known[m.ID] = true
		s.mails = append(s.mails, m)
	}
	return "250 OK"
}

func read(data io.Reader) (m Mail, err error) {
	message, err := mail.ReadMessage(data)
	if err != nil {
		return m, err
	}
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil {
		return m, err
	}
	id, _, ok := strings.Cut(between(message.Header.Get("Message-ID")), "@")
	if m.ID, err = url.QueryUnescape(id); err != nil || !ok || m.ID == "" {
		return m, fmt.Errorf("Message-ID %q: want <ID@HOST>", message.Header.Get("Message-ID"))
	}
	body, err := io.ReadAll(message.Body)
	m.Text = strings.TrimSpace(string(body))
	return m, err
}

// between is what stands in angle brackets.
func between(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}
