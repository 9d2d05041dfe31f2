//go:build unix

package chaos_test

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// clerk decides which attempts fail, and sees over all processes that nothing is handled before what is earlier in its key is resolved.
type clerk struct {
	listener net.Listener

	mu       sync.Mutex
	resolved map[step]bool // handled, or discarded
	attempts map[step]int
	broken   []string
}

func newClerk(t *testing.T) *clerk {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &clerk{listener: l, resolved: map[step]bool{}, attempts: map[step]int{}}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { c.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); conns.Wait() })
	return c
}

func (c *clerk) serve(conn net.Conn) {
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	key, number, _ := strings.Cut(strings.TrimSpace(line), " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	answer := "ok"
	if !c.decide(step{key, n}) {
		answer = "no"
	}
	_, _ = fmt.Fprintln(conn, answer)
}

// hopeless messages never succeed, and difficult ones only when they were sent back twice.
func hopeless(s step) bool { return s.N == 20 }

func difficult(s step) bool { return s.N == 5 || s.N == 30 }

func (c *clerk) decide(s step) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resolved[s] {
		return true // Again, after a crash.
	}
	for n := 1; n < s.N; n++ {
		if !c.resolved[step{s.Key, n}] {
			c.broken = append(c.broken, fmt.Sprintf("%s: %d was handled before %d", s.Key, s.N, n))
			break
		}
	}
	c.attempts[s]++
	if hopeless(s) || difficult(s) && c.attempts[s] < 6 {
		return false
	}
	c.resolved[s] = true
	return true
}

func (c *clerk) resolve(s step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resolved[s] = true
}

func (c *clerk) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.resolved)
}
