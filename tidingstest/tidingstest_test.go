package tidingstest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings"
	memorystore "github.com/tidings-go/tidings/store/memory"
	"github.com/tidings-go/tidings/tidingstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type order struct {
	ID string `json:"id" tidings:"key"`
	N  int    `json:"n"`
}

var (
	paid     = tidings.Define[order]("bank", "Paid", "v1")
	shipped  = tidings.Define[order]("shop", "Shipped", "v1")
	reminded = tidings.Define[order]("shop", "Reminded", "v1", tidings.Internal)
	seen     = tidings.Define[order]("shop", "Seen", "v1", tidings.Internal)
	moved    = tidings.Define[order]("shop", "Moved", "v1")
	move     = tidings.DefineRequest[order, bool]("shop", "Move", "v1")
)

var quiet = tidings.Config{Service: "shop", Log: slog.New(slog.DiscardHandler)}

// register makes a shop that ships what is paid, reminds an hour later, and counts what is shipped without an inbox.
func register(app *tidings.App) {
	app.Emits(shipped, reminded, seen, moved)
	app.Subscribe(tidings.Subscription{Name: "ship"}, tidings.OnTx(paid, func(ctx context.Context, tx *memorystore.Tx, o order) error {
		if o.N < 0 {
			return tidings.DeadLetter(errors.New("a negative number"))
		}
		later := reminded.New(o)
		later.NotBefore = time.Now().Add(time.Hour)
		return app.Outbox(tx).Publish(ctx, shipped.New(o), later)
	}))
	app.Subscribe(tidings.Subscription{Name: "count"}, tidings.On(shipped, func(ctx context.Context, o order) error {
		return seen.Publish(ctx, app.Direct(), o)
	}))
	app.Serve(tidings.HandleTx(move, func(_ context.Context, _ *memorystore.Tx, o order) (bool, tidings.Events, error) {
		return true, tidings.Events{moved.New(o)}, nil
	}))
}

func bubble(t *testing.T, test func(t *testing.T, k *tidingstest.Kit)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, tidingstest.New(t, quiet, register)) })
}

func TestDeliverAndPublished(t *testing.T) {
	bubble(t, func(t *testing.T, k *tidingstest.Kit) {
		t.Helper()
		k.Deliver(paid.New(order{"a", 1}), paid.New(order{"a", 2}))
		if got := fmt.Sprint(tidingstest.Published(k, shipped)); got != "[{a 1} {a 2}]" {
			t.Errorf("shipped %s", got)
		}
		if got := tidingstest.Published(k, paid); len(got) > 0 {
			t.Errorf("the app has not published %v", got)
		}
		if got := tidingstest.Published(k, reminded); len(got) > 0 {
			t.Errorf("reminded too early: %v", got)
		}
		k.Advance(time.Hour)
		if got := tidingstest.Published(k, reminded); len(got) != 2 {
			t.Errorf("reminded %v", got)
		}
	})
}

// Everything comes twice: what has an inbox takes effect once, and what has none is found out.
func TestRedeliver(t *testing.T) {
	bubble(t, func(t *testing.T, k *tidingstest.Kit) {
		t.Helper()
		k.Deliver(paid.New(order{"a", 1}))
		k.Redeliver()
		if got := tidingstest.Published(k, shipped); len(got) != 1 {
			t.Errorf("shipped %v", got)
		}
		if got := tidingstest.Published(k, seen); len(got) != 2 {
			t.Errorf("seen %v", got)
		}
	})
}

func TestFailNext(t *testing.T) {
	bubble(t, func(t *testing.T, k *tidingstest.Kit) {
		t.Helper()
		k.FailNext(5)
		start := time.Now()
		k.Deliver(paid.New(order{"a", 1}))
		if got := tidingstest.Published(k, shipped); len(got) != 1 || time.Since(start) < 100*time.Millisecond {
			t.Errorf("shipped %v after %v", got, time.Since(start))
		}
		k.FailNext(1)
		if _, err := move.Call(t.Context(), k, order{"a", 1}); err == nil || !strings.Contains(err.Error(), "failed on purpose") {
			t.Errorf("Call = %v", err)
		}
		if got := tidingstest.Published(k, moved); len(got) > 0 {
			t.Errorf("moved %v", got)
		}
		if _, err := move.Call(t.Context(), k, order{"a", 1}); err != nil || len(tidingstest.Published(k, moved)) != 1 {
			t.Errorf("Call = %v", err)
		}
	})
}

func TestDeadLetters(t *testing.T) {
	bubble(t, func(t *testing.T, k *tidingstest.Kit) {
		t.Helper()
		k.Deliver(paid.New(order{"a", -1}))
		if dead := k.DeadLetters(); len(dead) != 1 || dead[0].Queue != "shop.ship" || !strings.Contains(string(dead[0].History), "a negative number") {
			t.Errorf("dead letters %+v", dead)
		}
	})
}

// What is committed survives, what is scheduled too.
func TestCrash(t *testing.T) {
	bubble(t, func(t *testing.T, k *tidingstest.Kit) {
		t.Helper()
		k.Deliver(paid.New(order{"a", 1}))
		before := k.App
		k.Crash()
		if k.App == before {
			t.Error("the app lives on")
		}
		k.Advance(time.Hour)
		k.Deliver(paid.New(order{"a", 2}))
		if got := fmt.Sprint(tidingstest.Published(k, shipped), tidingstest.Published(k, reminded)); got != "[{a 1} {a 2}] [{a 1}]" {
			t.Errorf("published %s", got)
		}
	})
}

// Wherever the app dies, it has shipped each order once, in order, and has counted each at least once.
func TestEveryCrash(t *testing.T) {
	t.Parallel()
	steps := 0
	tidingstest.EveryCrash(t, func(t *testing.T, step int) *tidingstest.Kit {
		t.Helper()
		steps = step
		k := tidingstest.New(t, quiet, register)
		k.CrashAt(step)
		k.Deliver(paid.New(order{"a", 1}), paid.New(order{"a", 2}))
		k.Advance(time.Hour)
		if got := fmt.Sprint(tidingstest.Published(k, shipped), len(tidingstest.Published(k, reminded))); got != "[{a 1} {a 2}] 2" {
			t.Errorf("published %s", got)
		}
		if got := tidingstest.Published(k, seen); len(got) < 2 {
			t.Errorf("seen %v", got)
		}
		return k
	})
	if steps < 10 {
		t.Errorf("only %d steps", steps)
	}
}

// The control: an app that publishes besides its transaction is found out.
func TestEveryCrashFindsDualWrites(t *testing.T) {
	t.Parallel()
	wrong := 0
	for step := 1; step < 20; step++ {
		synctest.Test(t, func(t *testing.T) {
			k := tidingstest.New(t, quiet, func(app *tidings.App) {
				app.Emits(shipped)
				app.Subscribe(tidings.Subscription{Name: "ship"}, tidings.OnTx(paid, func(ctx context.Context, _ *memorystore.Tx, o order) error {
					return shipped.Publish(ctx, app.Direct(), o)
				}))
			})
			k.CrashAt(step)
			k.Deliver(paid.New(order{"a", 1}))
			if len(tidingstest.Published(k, shipped)) != 1 {
				wrong++
			}
		})
	}
	if wrong == 0 {
		t.Error("an event that was published for a rolled back transaction was not noticed")
	}
}

func TestACrashWhileTheAppStarts(t *testing.T) {
	t.Parallel()
	tidingstest.EveryCrash(t, func(t *testing.T, step int) *tidingstest.Kit {
		t.Helper()
		starts := 0
		k := tidingstest.New(t, quiet, func(app *tidings.App) {
			register(app)
			app.OnStart(func(ctx context.Context) error {
				if starts++; starts == 2 {
					return moved.Publish(ctx, app.Direct(), order{"a", 1})
				}
				return nil
			})
		})
		k.CrashAt(step)
		k.Crash()
		k.Quiet()
		if got := tidingstest.Published(k, moved); len(got) > 1 || step > 1 && len(got) == 0 {
			t.Errorf("published %v", got)
		}
		return k
	})
}

// failing is a test that may fail without failing.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Helper()                           {}
func (f *failing) Errorf(format string, args ...any) { f.text += fmt.Sprintf(format, args...) }
func (f *failing) Fatal(args ...any)                 { f.text += fmt.Sprint(args...); runtime.Goexit() }
func (f *failing) Fatalf(format string, args ...any) { f.Errorf(format, args...); runtime.Goexit() }

// fail runs what is to fail and returns what it says.
func fail(t *testing.T, what func(tb testing.TB)) string {
	t.Helper()
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		what(f)
	}()
	<-done
	return f.text
}

func TestMistakesAreSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for want, what := range map[string]func(testing.TB){
			"the app has no event of that type": func(tb testing.TB) {
				tb.Helper()
				tidingstest.New(tb, quiet).Deliver(paid.New(order{"a", 1}))
			},
			"key field id is empty": func(tb testing.TB) {
				tb.Helper()
				tidingstest.New(tb, quiet, register).Deliver(paid.New(order{}))
			},
			"the app did not start": func(tb testing.TB) {
				tb.Helper()
				tidingstest.New(tb, tidings.Config{Service: "No"}, register)
			},
			"come to rest: something publishes, or fails": func(tb testing.TB) {
				tb.Helper()
				k := tidingstest.New(tb, quiet, func(app *tidings.App) {
					app.Subscribe(tidings.Subscription{Name: "never", OnFailure: tidings.Block}, tidings.On(seen, func(context.Context, order) error { return errors.New("no") }))
				})
				k.Deliver(seen.New(order{"a", 1}))
			},
			"does not come to rest": func(tb testing.TB) {
				tb.Helper()
				k := tidingstest.New(tb, quiet, func(app *tidings.App) {
					app.Emits(seen)
					app.Subscribe(tidings.Subscription{Name: "echo"}, tidings.On(seen, func(ctx context.Context, o order) error { return seen.Publish(ctx, app.Direct(), o) }))
				})
				k.Deliver(seen.New(order{"a", 1}))
			},
		} {
			if said := fail(t, what); !strings.Contains(said, want) {
				t.Errorf("said %q, want %q", said, want)
			}
		}
	})
}

func TestTopology(t *testing.T) {
	t.Chdir(t.TempDir())
	app := func(more ...tidings.Defined) *tidings.App {
		a := tidings.New(quiet)
		register(a)
		a.Emits(more...)
		return a
	}
	if said := fail(t, func(tb testing.TB) {
		tb.Helper()
		tidingstest.Topology(tb, app())
	}); !strings.Contains(said, "it is written") {
		t.Errorf("said %q", said)
	}
	tidingstest.Topology(t, app())
	added := tidings.Define[order]("shop", "Added", "v1", tidings.Entity("thing"))
	if said := fail(t, func(tb testing.TB) {
		tb.Helper()
		tidingstest.Topology(tb, app(added))
	}); !strings.Contains(said, `+ 				"shop.Added.v1"`) {
		t.Errorf("said %q", said)
	}
	path := filepath.Join("testdata", "topology-shop.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err = os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "\n", "\r\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	tidingstest.Topology(t, app())
}

// A thousand tests are to take no more than seconds.
func TestKitsAreCheap(t *testing.T) {
	t.Parallel()
	start := time.Now()
	const kits = 100
	for range kits {
		synctest.Test(t, func(t *testing.T) {
			k := tidingstest.New(t, quiet, register)
			k.Deliver(paid.New(order{"a", 1}))
			if len(tidingstest.Published(k, shipped)) != 1 {
				t.Error("not shipped")
			}
		})
	}
	t.Logf("%v each", time.Since(start)/kits)
}
