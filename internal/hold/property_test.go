package hold_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tidings-go/tidings/internal/admin"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
)

// plan is how a world goes. What happens when is drawn from the seed.
type plan struct {
	Seed              uint64
	Keys, Messages    int
	Batch             bool
	Crashes           int
	Failing           int // percent of the attempts
	FailingForEver    int // percent of the messages
	Faults            int // percent of the transactions and settlements
	Forgets, Careless bool
}

func drawPlan(t *rapid.T) plan {
	return plan{
		Seed:           rapid.Uint64().Draw(t, "seed"),
		Keys:           rapid.IntRange(1, 5).Draw(t, "keys"),
		Messages:       rapid.SampledFrom([]int{60, 20, 5}).Draw(t, "messages"),
		Batch:          rapid.Bool().Draw(t, "batch"),
		Crashes:        rapid.IntRange(0, 4).Draw(t, "crashes"),
		Failing:        rapid.SampledFrom([]int{10, 50, 0}).Draw(t, "failing"),
		Faults:         rapid.SampledFrom([]int{10, 0}).Draw(t, "faults"),
		FailingForEver: rapid.SampledFrom([]int{10, 0}).Draw(t, "failing for ever"),
	}
}

// play lets messages, crashes and people come at random, and returns what went wrong: something was handled before an earlier one of its
// key was resolved, was lost, or was handled twice although nothing crashed or failed.
func play(t *testing.T, p plan) []string {
	t.Helper()
	w := newWorld(t)
	w.batch, w.forgets, w.careless = p.Batch, p.Forgets, p.Careless
	random := rand.New(rand.NewPCG(p.Seed, 1))
	luck := make(chan *rand.Rand, 1)
	luck <- rand.New(rand.NewPCG(p.Seed, 2))
	w.work = func() time.Duration {
		r := <-luck
		defer func() { luck <- r }()
		return time.Duration(1+r.IntN(5)) * time.Millisecond
	}
	hopeless := map[string]bool{}
	over := false
	w.fail = func(key string, n int) error {
		r := <-luck
		defer func() { luck <- r }()
		value := key + "/" + strconv.Itoa(n)
		if _, ok := hopeless[value]; !ok {
			hopeless[value] = chance(r, p.FailingForEver)
		}
		if hopeless[value] || !over && chance(r, p.Failing) {
			return errNo
		}
		return nil
	}
	w.fault = func() error {
		r := <-luck
		defer func() { luck <- r }()
		if !over && chance(r, p.Faults) {
			return errNo
		}
		return nil
	}
	w.start()
	w.start()
	crash := map[int]bool{}
	for range p.Crashes {
		crash[random.IntN(p.Messages)] = true
	}
	for i := range p.Messages {
		w.publish(fmt.Sprint("k", random.IntN(p.Keys)))
		elapse(time.Duration(1+random.IntN(300)) * time.Millisecond)
		w.attend(random)
		if crash[i] {
			i := random.IntN(len(w.replicas))
			w.replicas[i].kill()
			w.replicas = append(w.replicas[:i], w.replicas[i+1:]...)
			w.start()
		}
	}
	r := <-luck
	over = true
	luck <- r
	deadline := time.Now().Add(2 * time.Hour)
	for calm := 0; calm < 5 && time.Now().Before(deadline); calm++ { // What is on its way to the store may still come.
		elapse(time.Second)
		w.attend(random)
		if !w.finished() {
			calm = 0
		}
	}
	w.finish()
	return w.verdict(p)
}

// attend is people who look at the dead letters now and then.
func (w *world) attend(random *rand.Rand) {
	for _, row := range w.rows(store.Dead) {
		var err error
		switch random.IntN(8) {
		case 0, 1, 2:
			err = admin.Retry(context.Background(), w.store, []store.Row{row})
		case 3:
			w.mu.Lock()
			w.done[string(row.Record.Value)] = true
			w.mu.Unlock()
			err = admin.Discard(context.Background(), w.store, []store.Row{row}, "a test")
		case 4: // An edit: see admin.Edit.
			err = w.store.InTx(context.Background(), func(ctx context.Context, tx store.Native) error {
				edited := row
				edited.ID, edited.State, edited.MessageID, edited.History = 0, store.Ready, fmt.Sprint("edited ", row.MessageID), nil
				if _, moved := tx.StoreTx().Move(ctx, store.Gone, row.ID); moved != nil {
					return moved
				}
				return tx.StoreTx().Append(ctx, edited)
			})
		}
		if err != nil && !errors.Is(err, admin.ErrChanged) {
			w.t.Error(err)
		}
	}
}

func (w *world) finished() bool {
	if len(w.rows()) > 0 {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, n := range w.issued {
		for i := range n {
			if !w.done[key+"/"+strconv.Itoa(i+1)] {
				return false
			}
		}
	}
	return true
}

func (w *world) verdict(p plan) []string {
	broken := w.broken
	if !w.finished() {
		broken = append(broken, fmt.Sprintf("not everything was handled: %d rows are left: dead %q, held %q", len(w.rows()), w.values(store.Dead), w.values(store.Held)))
	}
	times := map[string]int{}
	for _, value := range w.handled {
		if times[value]++; times[value] > 1 && p.Crashes+p.Faults == 0 {
			broken = append(broken, value+" was handled twice")
		}
	}
	return broken
}

// In any world whatever is later in its key is handled only after everything before it was handled or discarded.
func TestProperty(t *testing.T) {
	rounds := 5 // of a hundred worlds: what goes wrong in one of thousands is found by and by, or in a soak test
	if testenv.Soak() {
		rounds = 200
	}
	for range rounds {
		rapid.Check(t, func(rt *rapid.T) {
			p := drawPlan(rt)
			var broken []string
			synctest.Test(t, func(t *testing.T) { broken = play(t, p) })
			if len(broken) > 0 {
				rt.Fatalf("%d violations, the first: %s", len(broken), broken[0])
			}
		})
	}
}

// The controls: worlds whose replicas hold nothing, or don't learn what is held, must be found out.
func TestWorldsWithoutThePromiseAreFoundOut(t *testing.T) {
	t.Parallel()
	const count = 20 // how goroutines take turns differs from run to run: about half of the worlds find out, and one has to
	worlds := func(change func(p *plan)) (bad int) {
		for seed := range uint64(count) {
			p := plan{Seed: seed, Keys: 2, Messages: 30, Crashes: 4, Failing: 50, FailingForEver: 10, Faults: 5}
			change(&p)
			synctest.Test(t, func(t *testing.T) {
				if len(play(t, p)) > 0 {
					bad++
				}
			})
		}
		return bad
	}
	if bad := worlds(func(*plan) {}); bad != 0 {
		t.Fatalf("%d of %d good worlds were found bad", bad, count)
	}
	if bad := worlds(func(p *plan) { p.Careless = true }); bad == 0 {
		t.Errorf("where nothing is held, that was found out in none of %d worlds", count)
	}
	if bad := worlds(func(p *plan) { p.Forgets = true }); bad == 0 {
		t.Errorf("where new replicas don't learn what is held, that was found out in none of %d worlds", count)
	}
}
