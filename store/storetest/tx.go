package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/tidings-go/tidings/store"
)

var errUser = errors.New("the user's own error")

func transactionScenarios() []scenario {
	return []scenario{
		on("tx/commit makes rows visible, and nothing before does", commitMakesVisible),
		on("tx/an error rolls everything back", errorRollsBack),
		on("tx/a panic rolls everything back and goes on", panicRollsBack),
		on("tx/the end of the context rolls everything back", cancelRollsBack),
		on("tx/a transaction that waits gives up with its context", waitingGivesUp),
		on("tx/a finished transaction refuses everything", finishedRefuses),
		on("tx/a nil transaction has no part", nilHasNoPart),
		on("tx/inside of a transaction there is no other", nestedIsRefused),
		on("tx/failing neighbours take nothing with them", neighboursAreIsolated),
	}
}

func commitMakesVisible(b *bench) {
	other := b.replica()
	b.tx(func(tx store.Tx) error {
		b.must(tx.Append(b.ctx, row("k", "1")))
		b.must(tx.Append(b.ctx, row("k", "2"), row("k", "3")))
		b.wantValues()
		other.wantValues()
		return nil
	})
	b.wantValues("1", "2", "3")
	other.wantValues("1", "2", "3")
}

// changeAll does one of everything in a transaction.
func (b *bench) changeAll(ctx context.Context, native store.Native, id int64) {
	b.Helper()
	tx := native.StoreTx()
	b.must(tx.Append(ctx, row("k", "appended")))
	n, err := tx.Move(ctx, store.Gone, id)
	b.must(err)
	if n != 1 {
		b.Fatalf("Move found %d rows, want 1", n)
	}
	first, _, err := tx.Claim(ctx, "space", "id")
	b.must(err)
	if !first {
		b.Fatalf("Claim says that the id was claimed before")
	}
	b.must(tx.Save(ctx, "space", "id", []byte("saved")))
	n, err = b.Next(ctx, native, "counter")
	b.must(err)
	if n != 1 {
		b.Fatalf("the user's counter is %d, want 1", n)
	}
}

// undone checks that nothing of changeAll has stayed, by doing it again.
func (b *bench) undone() {
	b.Helper()
	b.wantValues("there before")
	b.must(b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
		b.changeAll(ctx, tx, b.list(store.Filter{})[0].ID)
		return nil
	}))
	b.wantValues("appended")
}

func (b *bench) before() int64 {
	b.Helper()
	b.append(row("k", "there before"))
	return b.list(store.Filter{})[0].ID
}

func errorRollsBack(b *bench) {
	id := b.before()
	err := b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
		b.changeAll(ctx, tx, id)
		return fmt.Errorf("wrapped: %w", errUser)
	})
	if !errors.Is(err, errUser) {
		b.Fatalf("InTx returned %v, want the function's error", err)
	}
	b.undone()
}

func panicRollsBack(b *bench) {
	id := b.before()
	func() {
		defer func() {
			if r := recover(); r != "the user's own panic" {
				b.Fatalf("recovered %v, want the function's panic", r)
			}
		}()
		_ = b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
			b.changeAll(ctx, tx, id)
			panic("the user's own panic") //nolint:forbidigo // it is what is tested
		})
	}()
	b.undone()
}

func cancelRollsBack(b *bench) {
	id := b.before()
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	err := b.s.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		b.changeAll(ctx, tx, id)
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		b.Fatalf("InTx returned %v, want context.Canceled", err)
	}
	err = b.s.InTx(ctx, func(context.Context, store.Native) error {
		b.Errorf("a function ran although its context had ended before")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		b.Fatalf("InTx returned %v, want context.Canceled", err)
	}
	b.undone()
}

func waitingGivesUp(b *bench) {
	var waiting sync.WaitGroup
	b.must(b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
		if _, err := b.Next(ctx, tx, "counter"); err != nil {
			return err
		}
		waiter, cancel := context.WithCancel(b.ctx)
		waiting.Go(func() {
			err := b.s.InTx(waiter, func(ctx context.Context, tx store.Native) error {
				_, err := b.Next(ctx, tx, "counter")
				return err
			})
			if err == nil {
				b.Errorf("a transaction whose context had ended while it waited was committed")
			}
		})
		cancel()
		waiting.Wait()
		return nil
	}))
	b.must(b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
		n, err := b.Next(ctx, tx, "counter")
		if n != 2 {
			b.Errorf("the counter is %d, want 2", n)
		}
		return err
	}))
}

func finishedRefuses(b *bench) {
	for _, result := range []error{nil, errUser} {
		var kept store.Tx
		_ = b.s.InTx(b.ctx, func(_ context.Context, tx store.Native) error {
			kept = tx.StoreTx()
			return result
		})
		_, _, claimed := kept.Claim(b.ctx, "space", "id")
		_, moved := kept.Move(b.ctx, store.Gone, 1)
		for what, err := range map[string]error{
			"Append": kept.Append(b.ctx, row("k", "late")),
			"Move":   moved,
			"Claim":  claimed,
			"Save":   kept.Save(b.ctx, "space", "id", nil),
		} {
			if !errors.Is(err, store.ErrTxDone) {
				b.Errorf("%s after the end returned %v, want store.ErrTxDone", what, err)
			}
		}
	}
	b.wantValues()
}

func nilHasNoPart(b *bench) {
	native := b.s.Native()
	if part := native.StoreTx(); part != nil {
		b.Errorf("a nil transaction has the part %v, want nil", part)
	}
	b.must(b.s.InTx(b.ctx, func(_ context.Context, tx store.Native) error {
		if reflect.TypeOf(native) != reflect.TypeOf(tx) {
			b.Errorf("Native is a %T, but InTx hands out a %T", native, tx)
		}
		return nil
	}))
}

func nestedIsRefused(b *bench) {
	b.must(b.s.InTx(b.ctx, func(ctx context.Context, _ store.Native) error {
		err := b.s.InTx(ctx, func(context.Context, store.Native) error { return nil })
		if err == nil {
			b.Errorf("InTx inside of InTx has no error")
		}
		return nil
	}))
}

// neighboursAreIsolated runs good and bad transactions side by side. Stores that commit several together must keep them apart.
func neighboursAreIsolated(b *bench) {
	const workers, each = 12, 20
	var good sync.WaitGroup
	for w := range workers {
		good.Go(func() {
			for i := range each {
				b.neighbour(w, i)
			}
		})
	}
	good.Wait()
	want := 0
	for w := range workers {
		if w%3 == 0 {
			want += each
		}
	}
	counted := b.current("good") // Next in a failed transaction would make it larger.
	if n := len(b.values()); n != want || counted != want {
		b.Fatalf("%d rows and %d counted are there after %d transactions that committed", n, counted, want)
	}
}

// neighbour is one transaction: it succeeds, fails or panics, depending on the worker.
func (b *bench) neighbour(w, i int) {
	defer func() { _ = recover() }()
	err := b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) error {
		if _, err := b.Next(ctx, tx, "good"); err != nil {
			return err
		}
		if err := tx.StoreTx().Append(ctx, row("k", fmt.Sprintf("%d.%d", w, i))); err != nil {
			return err
		}
		switch w % 3 {
		case 1:
			return errUser
		case 2:
			panic("the user's own panic") //nolint:forbidigo // it is what is tested
		}
		return nil
	})
	if w%3 == 0 && err != nil {
		b.Errorf("a good transaction failed: %v", err)
	}
}

// current reads the user's counter without changing it.
func (b *bench) current(key string) (n int) {
	b.Helper()
	err := b.s.InTx(b.ctx, func(ctx context.Context, tx store.Native) (err error) {
		n, err = b.Next(ctx, tx, key)
		return errors.Join(err, errUser)
	})
	if !errors.Is(err, errUser) {
		b.must(err)
	}
	return n - 1
}
