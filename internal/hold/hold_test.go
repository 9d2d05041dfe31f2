package hold_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/internal/consume"
	"github.com/tidings-go/tidings/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// in runs a test in virtual time, once with single messages and once with batches.
func in(t *testing.T, body func(t *testing.T, w *world, f *failing)) {
	t.Helper()
	for name, batch := range map[string]bool{"single": false, "batch": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, f := newWorld(t), &failing{}
				w.batch, w.fail = batch, f.fail
				body(t, w, f)
				w.finish()
				for _, b := range w.broken {
					t.Error(b)
				}
			})
		})
	}
}

func (w *world) want(t *testing.T, handled, dead, held string) {
	t.Helper()
	if got := w.saw(); got != handled {
		t.Errorf("handled %q, want %q", got, handled)
	}
	if got := w.values(store.Dead); got != dead {
		t.Errorf("dead: %q, want %q", got, dead)
	}
	if got := w.values(store.Held); got != held {
		t.Errorf("held: %q, want %q", got, held)
	}
}

func TestEverythingLaterOfAKeyWaits(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, w *world, f *failing) {
		t.Helper()
		f.set("a/2", errNo)
		w.start()
		w.publish("a", "a", "a", "b")
		pass(time.Minute)
		w.publish("a", "a", "b")
		pass(time.Minute)
		handled := w.saw()
		if handled != "a/1 b/1 b/2" && handled != "b/1 a/1 b/2" {
			t.Errorf("handled %q", handled)
		}
		w.want(t, "", "a/2", "a/3 a/4 a/5")

		f.set("a/2", nil)
		w.retry(w.rows(store.Dead)...)
		pass(3 * time.Second)
		w.want(t, "a/2 a/3 a/4 a/5", "", "")
		w.publish("a")
		pass(time.Second)
		w.want(t, "a/6", "", "")
	})
}

func TestWhatFailsAgainHoldsAgain(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, w *world, f *failing) {
		t.Helper()
		f.set("a/1", errNo)
		f.set("a/3", consume.DeadLetter(errNo))
		w.start()
		w.publish("a", "a", "a", "a")
		pass(time.Minute)
		w.retry(w.rows(store.Dead)...)
		pass(time.Minute)
		w.publish("a")
		pass(time.Minute)
		w.want(t, "", "a/1", "a/2 a/3 a/4 a/5")

		f.set("a/1", nil)
		w.retry(w.rows(store.Dead)...)
		pass(time.Minute)
		w.want(t, "a/1 a/2", "a/3", "a/4 a/5")

		w.discard(w.rows(store.Dead)...)
		w.publish("a")
		pass(time.Minute)
		w.want(t, "a/4 a/5 a/6", "", "")
	})
}

func TestWhatIsHeldOutlivesItsReplica(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, w *world, f *failing) {
		t.Helper()
		f.set("a/1", errNo)
		r := w.start()
		w.publish("a", "a")
		pass(time.Minute)
		r.kill()
		w.publish("a")
		w.start()
		w.start()
		w.publish("a")
		pass(time.Minute)
		w.want(t, "", "a/1", "a/2 a/3 a/4")
		w.discard(w.rows(store.Dead)...)
		pass(3 * time.Second)
		w.want(t, "a/2 a/3 a/4", "", "")
	})
}

// A broker that doesn't hear that a message is settled delivers it again. It is there once all the same: else it would be handled after somebody has discarded it.
func TestWhatIsDeliveredAgainIsKeptOnce(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, w *world, f *failing) {
		t.Helper()
		f.set("a/1", errNo)
		deaf := true
		w.fault = func() error {
			if deaf && w.values(store.Dead) != "" {
				return errNo
			}
			return nil
		}
		w.start()
		w.publish("a")
		pass(10 * time.Second)
		deaf = false
		w.publish("a")
		pass(10 * time.Second)
		w.want(t, "", "a/1", "a/2")
		w.discard(w.rows(store.Dead)...)
		pass(3 * time.Second)
		w.want(t, "a/2", "", "")
	})
}

// While one replica looks for what may be released, another parks a message and holds the next of its key: that one is not to be released.
func TestWhatFailsWhileOthersLook(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, w *world, f *failing) {
		t.Helper()
		f.set("a/1", errNo)
		f.set("a/2", errNo)
		w.start()
		w.publish("a")
		pass(time.Minute)
		var once sync.Once
		w.hook = func(filter store.Filter) {
			if filter.Key == "a" && slices.Equal(filter.States, []store.State{store.Held}) {
				once.Do(func() {
					w.publish("a", "a")
					elapse(time.Second)
				})
			}
		}
		f.set("a/1", nil)
		w.retry(w.rows(store.Dead)...)
		pass(time.Minute)
		w.want(t, "a/1", "a/2", "a/3")
	})
}

// Several dead letters of one key, from the time before the subscription held keys, may be sent back together.
func TestRetriedTogether(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, w *world, f *failing) {
		t.Helper()
		w.careless = true
		f.set("a/1", errNo)
		f.set("a/2", errNo)
		r := w.start()
		w.publish("a", "a")
		pass(time.Minute)
		r.finish()
		w.broken = nil // It didn't hold yet.
		w.careless = false
		w.start()
		w.publish("a")
		pass(time.Minute)
		w.want(t, "", "a/1 a/2", "a/3")
		f.set("a/2", nil)
		w.retry(w.rows(store.Dead)...)
		pass(time.Minute)
		w.want(t, "", "a/1", "a/3 a/2")
		w.discard(w.rows(store.Dead)...)
		pass(time.Minute)
		if got := w.saw(); got != "a/3 a/2" {
			t.Errorf("handled %q", got)
		}
		w.broken = nil // The order between them was given up when they became dead letters.
	})
}

func TestWithoutAKeyNothingIsHeld(t *testing.T) {
	t.Parallel()
	in(t, func(t *testing.T, w *world, f *failing) {
		t.Helper()
		f.set("/1", errNo)
		w.start()
		w.publish("")
		pass(time.Minute)
		w.publish("", "")
		pass(time.Minute)
		w.broken = nil
		if w.saw(); w.values(store.Dead) != "/1" || w.values(store.Held) != "" {
			t.Errorf("dead: %q, held: %q", w.values(store.Dead), w.values(store.Held))
		}
	})
}
