package brokertest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
)

// Child runs a replica if this process was started to be one, and reports whether it was. An adapter whose [Fixture] has a URL calls it
// at the beginning of its TestMain, and opens a client at that URL in open:
//
//	func TestMain(m *testing.M) {
//		if brokertest.Child(open) {
//			return
//		}
//		goleak.VerifyTestMain(m)
//	}
//
// The replica reports each record that it has handled to the test, and finishes it when the test has answered. So the test knows
// the order in which things happened over all processes, and an owner can be stopped between handling and acknowledging.
func Child(open func(ctx context.Context, url string) (b broker.Broker, closeClient func(), err error)) bool {
	said := testenv.Child()
	if said == "" {
		return false
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &mouth{out: json.NewEncoder(os.Stdout), open: map[int]chan struct{}{}}
	go func() {
		m.listen(os.Stdin)
		cancel() // The test is gone.
	}()
	if err := runChild(ctx, said, open, m); err != nil {
		_ = m.say(report{What: hasFailed, Key: err.Error()})
	}
	return true
}

func runChild(ctx context.Context, said string, open func(context.Context, string) (broker.Broker, func(), error), m *mouth) error {
	var r role
	if err := json.Unmarshal([]byte(said), &r); err != nil {
		return fmt.Errorf("read the role: %w", err)
	}
	b, closeClient, err := open(ctx, r.URL)
	if err != nil {
		return fmt.Errorf("open %s: %w", r.URL, err)
	}
	defer closeClient()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return r.run(ctx, b, log, m.tell)
}

// mouth is a child's side of the talk: reports go out, and their numbers come back as answers.
type mouth struct {
	mu   sync.Mutex // guards what follows
	out  *json.Encoder
	last int
	open map[int]chan struct{} // reports that are not answered
}

func (m *mouth) say(r report) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.out.Encode(r)
}

// tell says something and waits for the answer.
func (m *mouth) tell(ctx context.Context, r report) error {
	answered := make(chan struct{})
	m.mu.Lock()
	m.last++
	r.ID = m.last
	m.open[r.ID] = answered
	err := m.out.Encode(r)
	m.mu.Unlock()
	if err != nil {
		return fmt.Errorf("report to the test: %w", err)
	}
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen takes answers until there are no more.
func (m *mouth) listen(in io.Reader) {
	answers := json.NewDecoder(bufio.NewReader(in))
	for {
		var id int
		if answers.Decode(&id) != nil {
			return
		}
		m.mu.Lock()
		if answered, ok := m.open[id]; ok {
			close(answered)
			delete(m.open, id)
		}
		m.mu.Unlock()
	}
}

// child is the test's side: a replica in a process of its own.
type child struct {
	s       *service
	cmd     *exec.Cmd
	read    chan struct{} // closed when it will say nothing more
	waiting sync.Once

	mu      sync.Mutex // guards what follows
	answers *json.Encoder
	frozen  bool
	owed    []int // answers that are given when it goes on
}

// fork starts this test's program again, as a replica.
func (s *service) fork() replica {
	k := s.k
	k.Helper()
	r := s.role
	r.URL = k.URL()
	said, err := json.Marshal(r)
	if err != nil {
		k.Fatalf("describe a replica: %v", err)
	}
	program, err := os.Executable()
	if err != nil {
		k.Fatalf("find this program: %v", err)
	}
	c := &child{s: s, cmd: exec.CommandContext(k.Context(), program), read: make(chan struct{})} //nolint:gosec // It is this program.
	c.cmd.Env = testenv.AsChild(string(said))
	c.cmd.Stderr = k.Output()
	in, inErr := c.cmd.StdinPipe()
	out, outErr := c.cmd.StdoutPipe()
	if inErr != nil || outErr != nil {
		k.Fatalf("talk to a replica: %v, %v", inErr, outErr)
	}
	c.answers = json.NewEncoder(in)
	if err := c.cmd.Start(); err != nil {
		k.Fatalf("start a replica: %v", err)
	}
	go c.hear(out)
	k.Cleanup(c.kill)
	return c
}

// hear notes and answers what the child says, until it ends.
func (c *child) hear(out io.Reader) {
	defer close(c.read)
	said := json.NewDecoder(bufio.NewReader(out))
	for {
		var r report
		if said.Decode(&r) != nil {
			return
		}
		c.s.note(c, r)
		c.answer(r.ID)
	}
}

func (c *child) answer(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.frozen {
		c.owed = append(c.owed, id)
		return
	}
	_ = c.answers.Encode(id) // If it is dead, it needs no answer.
}

func (c *child) signal(s os.Signal) {
	c.s.k.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.s.k.Errorf("send %s to a replica: %v", s, err)
	}
}

func (c *child) terminate() {
	c.s.k.Helper()
	c.signal(syscall.SIGTERM)
	select {
	case <-c.read:
	case <-c.s.k.after(c.s.k.patience):
		c.s.k.Fatalf("a replica did not end within %s", c.s.k.patience)
	}
	c.waiting.Do(func() {
		if err := c.cmd.Wait(); err != nil {
			c.s.k.Errorf("a replica that was asked to end: %v", err)
		}
	})
}

func (c *child) kill() {
	c.waiting.Do(func() {
		_ = c.cmd.Process.Kill()
		<-c.read
		_ = c.cmd.Wait() // It says that it was killed.
	})
}

func (c *child) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = true
	c.signal(sigFreeze)
}

func (c *child) thaw() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = false
	c.signal(sigThaw)
	for _, id := range c.owed {
		_ = c.answers.Encode(id)
	}
	c.owed = nil
}
