package main

import (
	"fmt"
	"io"
	"mime"
	"net"
	"net/mail"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// deliveredMail is a mail that was delivered.
type deliveredMail struct {
	// id is the Message-ID, without its brackets, host and escapes.
	id, to, subject, text string
}

// mailServer is a real mail server, but for its mailboxes. It knows a mail that comes again by its Message-ID: that is delivered once, as mail servers and mail programs do it.
type mailServer struct {
	addr     string
	listener net.Listener
	working  sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool // nil when it ends
	mails  []deliveredMail
	known  map[string]bool
	taken  int
	refuse string
}

// startMailServer starts a mail server at an address ("127.0.0.1:0": any free port), and ends it with the test.
func startMailServer(t *testing.T, address string) *mailServer {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &mailServer{addr: listener.Addr().String(), listener: listener, conns: map[net.Conn]bool{}, known: map[string]bool{}}
	s.working.Go(s.accept)
	t.Cleanup(s.stop)
	return s
}

// refuseMailsTo makes the server say from now on that it has no mailbox of that name. Others have one.
func (s *mailServer) refuseMailsTo(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = address
}

// delivered are the mails that were delivered, in their order.
func (s *mailServer) delivered() []deliveredMail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// takenMails is how many mails were taken, those that came again too.
func (s *mailServer) takenMails() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (s *mailServer) stop() {
	_ = s.listener.Close() // then accept ends
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.working.Wait()
}

func (s *mailServer) accept() {
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
func (s *mailServer) serve(conn net.Conn) {
	text := textproto.NewConn(conn)
	defer func() {
		_ = text.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, conn)
	}()
	to, answer := "", "220 test"
	for text.PrintfLine("%s", answer) == nil {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(verb) {
		case "EHLO", "HELO":
			answer = "250 test"
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
func (s *mailServer) mailbox(address string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if address == s.refuse {
		return "550 No such mailbox"
	}
	return "250 OK"
}

// data takes a mail. One that breaks off is not taken.
func (s *mailServer) data(text *textproto.Conn, to string) string {
	if err := text.PrintfLine("354 Go on"); err != nil {
		return "451 Gone"
	}
	m, err := readMail(text.DotReader())
	if err != nil {
		return fmt.Sprintf("554 %v", err)
	}
	m.to = to
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken++
	if !s.known[m.id] {
		s.known[m.id] = true
		s.mails = append(s.mails, m)
	}
	return "250 OK"
}

func readMail(data io.Reader) (m deliveredMail, err error) {
	message, err := mail.ReadMessage(data)
	if err != nil {
		return m, err
	}
	if m.subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil {
		return m, err
	}
	id, _, ok := strings.Cut(between(message.Header.Get("Message-ID")), "@")
	if m.id, err = url.QueryUnescape(id); err != nil || !ok || m.id == "" {
		return m, fmt.Errorf("Message-ID %q: want <ID@HOST>", message.Header.Get("Message-ID"))
	}
	body, err := io.ReadAll(message.Body)
	m.text = strings.TrimSpace(string(body))
	return m, err
}

// between is what stands in angle brackets.
func between(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}
