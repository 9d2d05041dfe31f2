//go:build unix

package chaos_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/internal/testenv"
)

const (
	keys   = 40
	rounds = 150
)

// Processes of one service join, leave, are killed and are stopped beyond their session while messages flow; the first handlings of each key are in
// order all the same.
func TestReplicasKeepOrderPerKey(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"NATS": testenv.NATS(t), "Kafka": testenv.Kafka(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verdict := playReplicas(t, url, "ordered")
			if err := verdict.Err(); err != nil {
				t.Error(err)
			}
			t.Logf("%d handled, %d times again", verdict.Handled, verdict.Repeats)
		})
	}
}

// The control: with lanes off the same play must be found out.
func TestTheRefereeNoticesWhenLanesAreOff(t *testing.T) {
	t.Parallel()
	if verdict := playReplicas(t, testenv.NATS(t), "unordered"); len(verdict.Disordered) == 0 {
		t.Error("lanes were off and the referee saw nothing wrong: it can't see anything")
	}
}

// playReplicas publishes numbered messages while processes come and go, and waits until all are handled.
func playReplicas(t *testing.T, url, mode string) brokertest.Verdict {
	t.Helper()
	service := "chaos-" + mode + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	r := newReferee(t)
	start := func() *exec.Cmd { return process(t, url, service, r.listener.Addr().String(), mode) }

	b, closeBroker, err := open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBroker()
	app, event := build(b, service)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	<-app.Ready()

	var publishing sync.WaitGroup
	publishing.Go(func() { publish(t, app, event, &r.oracle) })
	stays := start()
	for _, end := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		guest := start()
		r.awaitTenth(t)
		_ = guest.Process.Signal(end)
		_ = guest.Wait()
	}
	guest := start()
	r.awaitTenth(t)
	_ = guest.Process.Signal(syscall.SIGSTOP)
	publishing.Wait()
	testenv.Eventually(t, 60*time.Second, r.complete) // so the other has taken over what the guest had
	_ = guest.Process.Signal(syscall.SIGCONT)
	_ = guest.Process.Signal(syscall.SIGTERM)
	if err := guest.Wait(); err != nil {
		t.Errorf("the replica that was stopped and went on: %v", err)
	}
	_ = stays.Process.Signal(syscall.SIGTERM)
	if err := stays.Wait(); err != nil {
		t.Errorf("the replica that stayed: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return r.oracle.Check()
}

// publish publishes every key's messages in order, slowly enough for processes to come and go meanwhile.
func publish(t *testing.T, app *tidings.App, event *tidings.Event[step], oracle *brokertest.Oracle) {
	t.Helper()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for range rounds {
		messages := make([]tidings.Message, 0, keys)
		steps := make([]step, 0, keys)
		for k := range keys {
			s := step{Key: "key-" + strconv.Itoa(k)}
			s.N = oracle.Issue(s.Key)
			steps, messages = append(steps, s), append(messages, event.New(s))
		}
		if err := app.Direct().Publish(t.Context(), messages...); err != nil {
			t.Error(err)
			return
		}
		for _, s := range steps {
			oracle.Stored(s.Key, s.N)
		}
		<-tick.C
	}
}

// referee hears of every handling, in the order in which they happen over all processes.
type referee struct {
	listener net.Listener
	oracle   brokertest.Oracle
	handled  atomic.Int64
}

func newReferee(t *testing.T) *referee {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &referee{listener: l}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); conns.Wait() })
	return r
}

func (r *referee) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		key, number, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			return
		}
		r.oracle.Handled(key, n)
		r.handled.Add(1)
		if _, err := fmt.Fprintln(conn, "ok"); err != nil {
			return
		}
	}
}

// awaitTenth waits until a tenth of all messages more is handled.
func (r *referee) awaitTenth(t *testing.T) {
	t.Helper()
	want := r.handled.Load() + keys*rounds/10
	testenv.Eventually(t, 30*time.Second, func() error {
		if got := r.handled.Load(); got < want {
			return fmt.Errorf("%d handlings, waiting for %d", got, want)
		}
		return nil
	})
}

func (r *referee) complete() error {
	if open := r.oracle.Open(); open > 0 {
		return fmt.Errorf("%d messages are not handled yet, %d handlings so far", open, r.handled.Load())
	}
	return nil
}
