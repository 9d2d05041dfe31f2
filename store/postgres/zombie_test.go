//go:build unix

package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store/postgres"
)

// A relay is stopped in the middle of its work for longer than its lease, another takes over, and the first goes on as if nothing had happened.
func TestARelayThatWasAsleep(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	s := ready(t, postgres.Config{Lease: lease})
	w := newLoad(t, s)
	run(t, testenv.Postgres(t), `CREATE TABLE `+w.tables+`.topic (place bigserial PRIMARY KEY, who text, key text, value text)`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var relays sync.WaitGroup
	mine := &topicRelay{s: s, who: "awake", tables: w.tables}
	relays.Go(func() {
		if err := s.Lanes(ctx, "", mine.relay); err != nil {
			t.Error(err)
		}
	})
	other := start(t, "relay", strings.Trim(schemaOf(s), `"`), w.tables, "-lease", lease.String())
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		w.write(ctx, howLong(6*time.Second))
	}()
	asleep := 0
	for over := false; !over; {
		testenv.Eventually(t, testPatience, func() error { return mine.wantOwned(8) })
		if err := other.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		testenv.Eventually(t, testPatience, func() error { return mine.wantOwned(16) })
		pass(ctx, 100*time.Millisecond)
		if err := other.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		asleep++
		select {
		case <-writing:
			over = true
		default:
		}
	}
	<-writing
	committed := w.committed()
	testenv.Eventually(t, testPatience, func() error { return empty(t, s) })
	cancel()
	relays.Wait()
	_ = other.cmd.Process.Kill()
	_ = other.cmd.Wait()
	published, who := readTopic(t, s, w.tables)
	published.wantAll(t, fmt.Sprintf("two relays, one of them asleep %d times", asleep), committed)
	if who["awake"] == 0 || who["asleep"] == 0 {
		t.Errorf("the relays published %v rows: both should have", who)
	}
}
