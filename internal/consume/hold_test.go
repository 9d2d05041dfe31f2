package consume_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/consume"
)

// shelf is a holder in memory.
type shelf struct {
	r *rig

	mu     sync.Mutex
	held   map[string]bool // keys
	vague  bool            // any key may be held
	learns int
	fails  int // that many more calls of Learn and Hold
	kept   []string
}

func (s *shelf) Learn(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.learns++
	return s.fault()
}

func (s *shelf) fault() error {
	if s.fails > 0 {
		s.fails--
		return errTest
	}
	return nil
}

func (s *shelf) Holds(d *broker.Delivery) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vague || s.held[d.Key]
}

func (s *shelf) Hold(_ context.Context, later []*broker.Delivery) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fault(); err != nil || !s.held[later[0].Key] {
		return false, err
	}
	var values []string
	for _, d := range later {
		values = append(values, string(d.Value))
		s.r.topic.tapes[d.Partition].finish(d.Sequence)
	}
	s.kept = append(s.kept, strings.Join(values, " "))
	return true, nil
}

func (s *shelf) Park(_ context.Context, dead *consume.Dead) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[dead.Delivery.Key] = true
	s.kept = append(s.kept, "dead "+string(dead.Delivery.Value))
	s.r.topic.tapes[dead.Delivery.Partition].finish(dead.Delivery.Sequence)
	return nil
}

func (s *shelf) keeps(t *testing.T, want ...string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.kept, ", "); got != strings.Join(want, ", ") {
		t.Errorf("kept %q, want %q", s.kept, want)
	}
}

// holding is run with a shelf.
func holding(t *testing.T, cfg consume.Config, body func(r *rig, s *shelf)) {
	t.Helper()
	run(t, 1, cfg, func(r *rig) {
		s := &shelf{r: r, held: map[string]bool{}}
		r.holder = s
		body(r, s)
	})
}

// bad fails what has a value with a "!".
func bad(_ context.Context, d *broker.Delivery) error {
	if strings.Contains(string(d.Value), "!") {
		return errTest
	}
	return nil
}

func TestWhatIsLaterOfAKeyIsHeldTogether(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	cfg := toward(&reaction)
	cfg.Retry.Attempts = 2
	holding(t, cfg, func(r *rig, s *shelf) {
		reaction = r.single(bad)
		r.append("a1", "a2!", "a3", "b1", "a4")
		r.start()
		r.pass(time.Second)
		r.sawSome("a1", "a2!", "a2!", "b1")
		r.append("a5", "b2")
		r.pass(time.Second)
		r.saw("b2")
		s.keeps(t, "dead a2!", "a3 a4", "a5")
		r.settled(0, 7)
		if st := r.c.Stats(); st.Held != 3 || st.Dead != 1 || st.Handled != 3 || st.InFlight != 0 {
			t.Errorf("%+v", st)
		}
		s.mu.Lock()
		s.held["a"] = false
		s.mu.Unlock()
		r.append("a6")
		r.pass(time.Second)
		r.saw("a6")
	})
}

func TestNothingIsHandledBeforeItIsKnownWhatIsHeld(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	holding(t, toward(&reaction), func(r *rig, s *shelf) {
		reaction = r.single(ok)
		s.fails, s.held["a"] = 3, true
		r.append("a1", "b1")
		r.start()
		r.saw()
		r.pass(time.Minute)
		r.saw("b1")
		s.keeps(t, "a1")
		if s.learns != 4 {
			t.Errorf("%d attempts to learn what is held, want 4", s.learns)
		}
		r.topic.tapes[0].lose()
		r.pass(time.Minute)
		if s.learns != 5 {
			t.Errorf("%d times learnt what is held after the partition was taken again, want 5", s.learns)
		}
	})
}

func TestAPartitionThatCantLearnIsGivenBack(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	holding(t, toward(&reaction), func(r *rig, s *shelf) {
		reaction = r.single(ok)
		s.fails = 1 << 30
		r.append("a1")
		r.start()
		r.pass(time.Minute)
		before := r.since()
		r.finish()
		if waited := r.since() - before; waited > time.Second {
			t.Errorf("giving back took %v", waited)
		}
		r.saw()
	})
}

func TestHoldingIsTriedAgain(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	holding(t, toward(&reaction), func(r *rig, s *shelf) {
		reaction = r.single(ok)
		s.held["a"] = true
		r.start()
		s.mu.Lock()
		s.fails = 3
		s.mu.Unlock()
		r.append("a1", "a2", "a3")
		r.pass(time.Minute)
		r.saw()
		s.keeps(t, "a1 a2 a3")
		r.settled(0, 3)
	})
}

// A holder that does not know asks for each message, and those of a key that is free are handled, each once.
func TestAHolderThatDoesNotKnow(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	holding(t, toward(&reaction), func(r *rig, s *shelf) {
		reaction = r.single(ok)
		s.vague = true
		r.append("a1", "a2", "a3")
		r.start()
		r.pass(time.Second)
		r.saw("a1", "a2", "a3")
		reaction = r.batch(consume.Batch{Size: 3, Wait: time.Second}, fine)
		r.append("a4", "b1", "a5")
		r.pass(5 * time.Second)
		r.saw("a4 b1", "a5")
		r.settled(0, 6)
	})
}

// Where keys are held a batch has one message of a key: when that is given up on, the later ones are not to be handled.
func TestABatchHasOneMessageOfAKey(t *testing.T) {
	t.Parallel()
	var reaction *consume.Reaction
	cfg := toward(&reaction)
	cfg.Retry.Attempts = 1
	holding(t, cfg, func(r *rig, s *shelf) {
		reaction = r.batch(consume.Batch{Size: 10, Wait: time.Second}, func(ctx context.Context, items []*consume.Item) error {
			for _, i := range items {
				if err := bad(ctx, i.Delivery); err != nil {
					i.Fail(err)
				}
			}
			return nil
		})
		r.append("a1", "a2!", "a3", "b1", "b2")
		r.start()
		r.pass(10 * time.Second)
		r.saw("a1 b1", "a2! b2")
		s.keeps(t, "dead a2!", "a3")
	})
}
