package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

// TestMain lets the test binary run itself again as another process: two flags say what that process does, and with which file.
func TestMain(m *testing.M) {
	name := flag.String("role", "", "what to do instead of testing")
	path := flag.String("path", "", "the database of the role")
	flag.Parse()
	roles := map[string]func(ctx context.Context, s *sqlite.Store) error{"migrate": migrateOnly, "write": writeForEver(writeOrder), "write apart": writeForEver(writeOrderApart), "own": ownForEver}
	role, ok := roles[*name]
	if !ok {
		goleak.VerifyTestMain(m)
		return
	}
	ctx := context.Background()
	s, err := sqlite.Open(ctx, *path, sqlite.Config{})
	if err == nil {
		err = role(ctx, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// process starts another process in a role.
func process(t *testing.T, role, path string) (*osexec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.CommandContext(t.Context(), self, "-role", role, "-path", path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

func migrateOnly(ctx context.Context, s *sqlite.Store) error { return s.Migrate(ctx) }

func TestTenProcessesMigrateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.db")
	var together sync.WaitGroup
	for range 10 {
		cmd, _ := process(t, "migrate", path)
		together.Go(func() {
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	together.Wait()
	if got := column(t, open(t, path), `SELECT count(*) - max(version) FROM tidings_migrations`); got[0] != "0" {
		t.Errorf("%s migrations more were noted than there are", got[0])
	}
}

// writeForEver writes orders from several goroutines, and prints the number of each that is committed.
func writeForEver(write func(context.Context, store.Store) (int64, error)) func(context.Context, *sqlite.Store) error {
	return func(ctx context.Context, s *sqlite.Store) error {
		failed := make(chan error)
		for range 4 {
			go func() {
				for {
					n, err := write(ctx, s)
					if err != nil {
						failed <- err
						return
					}
					fmt.Println(n)
				}
			}()
		}
		return <-failed
	}
}

// writeOrder commits an order together with its outbox row.
func writeOrder(ctx context.Context, s store.Store) (n int64, err error) {
	err = s.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		n, err = insertOrder(ctx, tx)
		return errors.Join(err, tx.StoreTx().Append(ctx, orderRow(n)))
	})
	return n, err
}

// writeOrderApart is how it must not be done: two transactions.
func writeOrderApart(ctx context.Context, s store.Store) (n int64, err error) {
	err = s.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		n, err = insertOrder(ctx, tx)
		return err
	})
	if err != nil {
		return 0, err
	}
	err = s.InTx(ctx, func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, orderRow(n)) })
	return n, err
}

func insertOrder(ctx context.Context, tx store.Native) (int64, error) {
	done, err := native(tx).ExecContext(ctx, `INSERT INTO orders (body) VALUES ($1)`, "an order")
	if err != nil {
		return 0, err
	}
	return done.LastInsertId()
}

func orderRow(n int64) store.Row {
	return store.Row{Record: broker.Record{Topic: "orders", Value: fmt.Append(nil, n)}}
}

// killed runs a process that writes orders and kills it in the middle. It returns what the process had said was committed.
func killed(t *testing.T, role, path string) (committed []string) {
	t.Helper()
	cmd, out := process(t, role, path)
	if !out.Scan() {
		t.Fatal("the process wrote nothing")
	}
	kill := time.AfterFunc(time.Duration(rand.IntN(80))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	committed = []string{out.Text()}
	for out.Scan() {
		committed = append(committed, out.Text())
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	return committed
}

// halves counts orders without a row and rows without an order.
func halves(t *testing.T, s *sqlite.Store) (n int) {
	t.Helper()
	rows := map[string]bool{}
	for r, err := range s.List(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows[string(r.Record.Value)] = true
	}
	for _, id := range column(t, s, `SELECT id FROM orders`) {
		if !rows[id] {
			n++
		}
		delete(rows, id)
	}
	return n + len(rows)
}

func ordersDatabase(t *testing.T) (s *sqlite.Store, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "orders.db")
	s = open(t, path)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, s, `CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL) STRICT`)
	return s, path
}

func TestAKilledProcessLeavesNoHalves(t *testing.T) {
	s, path := ordersDatabase(t)
	for range 8 {
		committed := killed(t, "write", path)
		if n := halves(t, s); n != 0 {
			t.Fatalf("%d orders or rows are without their other half", n)
		}
		there := column(t, s, `SELECT id FROM orders`)
		for _, id := range committed {
			if !slices.Contains(there, id) {
				t.Fatalf("order %s was committed and is gone", id)
			}
		}
	}
}

func TestTheKillTestBites(t *testing.T) {
	s, path := ordersDatabase(t)
	for range 50 {
		killed(t, "write apart", path)
		if halves(t, s) > 0 {
			return
		}
	}
	t.Error("order and row were written in two transactions, and 50 kills have not shown it")
}

// ownForEver owns the outbox's lane until it is killed.
func ownForEver(ctx context.Context, s *sqlite.Store) error {
	return s.Lanes(ctx, "", func(ctx context.Context, _ broker.Partition) {
		fmt.Println("owned")
		<-ctx.Done()
	})
}

func TestTheLaneOfAKilledProcessIsFreeAtOnce(t *testing.T) {
	s, path := ordersDatabase(t)
	cmd, out := process(t, "own", path)
	if !out.Scan() {
		t.Fatal("the process does not own the lane")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	if err := s.Lanes(ctx, "", func(context.Context, broker.Partition) { t.Error("two processes own the lane") }); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	before := time.Now()
	if err := s.Lanes(ctx, "", func(context.Context, broker.Partition) { cancel() }); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(before); took > 2*time.Second {
		t.Errorf("the lane was free %v after its owner was killed", took)
	}
}
