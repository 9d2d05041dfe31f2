package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

// TestMain lets the test binary run itself again as another process: flags say what that process does, and where.
func TestMain(m *testing.M) {
	name := flag.String("role", "", "what to do instead of testing")
	server := flag.String("server", "", "the server's URL")
	schema := flag.String("schema", "", "the schema of tidings")
	user := flag.String("user", "", "the schema of the user's tables")
	lease := flag.Duration("lease", 0, "how long a lane stays with an owner that is not heard of")
	flag.Parse()
	roles := map[string]func(ctx context.Context, s *postgres.Store, user string) error{
		"migrate":     func(ctx context.Context, s *postgres.Store, _ string) error { return s.Migrate(ctx) },
		"write":       writeForEver(writeOrder),
		"write apart": writeForEver(writeOrderApart),
		"relay":       relayForEver,
	}
	role, ok := roles[*name]
	if !ok {
		goleak.VerifyTestMain(m)
		return
	}
	ctx := context.Background()
	s, err := postgres.Open(ctx, *server, postgres.Config{Schema: *schema, Lease: *lease})
	if err == nil {
		err = role(ctx, s, *user)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is another process of this test.
type child struct {
	cmd *osexec.Cmd
	out *bufio.Scanner
}

func start(t *testing.T, role, schema, user string, more ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-role", role, "-server", testenv.Postgres(t), "-schema", schema, "-user", user}, more...)
	cmd := osexec.CommandContext(t.Context(), self, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &child{cmd, bufio.NewScanner(out)}
}

// writeForEver writes orders from several goroutines, and prints the number of each that is committed.
func writeForEver(write func(context.Context, *postgres.Store, string) (string, error)) func(context.Context, *postgres.Store, string) error {
	return func(ctx context.Context, s *postgres.Store, user string) error {
		failed := make(chan error)
		for range 4 {
			go func() {
				for {
					n, err := write(ctx, s, user)
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
func writeOrder(ctx context.Context, s *postgres.Store, user string) (n string, err error) {
	err = s.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		n, err = insertOrder(ctx, tx, user)
		return errors.Join(err, tx.StoreTx().Append(ctx, event(n)))
	})
	return n, err
}

// writeOrderApart is how it must not be done: two transactions.
func writeOrderApart(ctx context.Context, s *postgres.Store, user string) (n string, err error) {
	err = s.InTx(ctx, func(ctx context.Context, tx store.Native) error {
		n, err = insertOrder(ctx, tx, user)
		return err
	})
	if err != nil {
		return "", err
	}
	err = s.InTx(ctx, func(ctx context.Context, tx store.Native) error { return tx.StoreTx().Append(ctx, event(n)) })
	return n, err
}

func insertOrder(ctx context.Context, tx store.Native, user string) (n string, err error) {
	return n, native(tx).QueryRow(ctx, `INSERT INTO `+user+`.orders DEFAULT VALUES RETURNING n::text`).Scan(&n)
}

// killed runs a process that writes orders and kills it in the middle. It returns what the process had said was committed.
func killed(t *testing.T, role, schema, user string) (committed []string) {
	t.Helper()
	c := start(t, role, schema, user)
	if !c.out.Scan() {
		t.Fatal("the process wrote nothing")
	}
	kill := time.AfterFunc(time.Duration(rand.IntN(80))*time.Millisecond, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	committed = []string{c.out.Text()}
	for c.out.Scan() {
		committed = append(committed, c.out.Text())
	}
	if err := c.cmd.Wait(); err == nil {
		t.Fatal("the process ended by itself")
	}
	return committed
}

// halves counts orders without a row and rows without an order, in one snapshot. Transactions of the process that was killed
// may be about to commit: so it is not the number of either that is compared.
func halves(t *testing.T, s *postgres.Store, schema, user string) (n int) {
	t.Helper()
	err := s.Pool().QueryRow(t.Context(), `SELECT count(*) FROM `+user+`.orders o FULL JOIN `+schema+`.outbox r
		ON o.n::text = convert_from(r.value, 'UTF8') WHERE o.n IS NULL OR r.id IS NULL`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ordersTable(t *testing.T) (s *postgres.Store, schema, user string) {
	t.Helper()
	schema, user = newSchema(t), newSchema(t)
	run(t, testenv.Postgres(t), `CREATE SCHEMA `+user, `CREATE TABLE `+user+`.orders (n bigint GENERATED ALWAYS AS IDENTITY)`)
	s = openSchema(t, schema)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, schema, user
}

func TestAKilledProcessLeavesNoHalves(t *testing.T) {
	t.Parallel()
	kills := 5
	if testenv.Soak() {
		kills = 100
	}
	s, schema, user := ordersTable(t)
	for range kills {
		committed := killed(t, "write", schema, user)
		if n := halves(t, s, schema, user); n != 0 {
			t.Fatalf("%d orders or rows are without their other half", n)
		}
		var there []string
		if err := s.Pool().QueryRow(t.Context(), `SELECT array_agg(n::text) FROM `+user+`.orders`).Scan(&there); err != nil {
			t.Fatal(err)
		}
		slices.Sort(there)
		for _, n := range committed {
			if _, ok := slices.BinarySearch(there, n); !ok {
				t.Fatalf("order %s was committed and is gone", n)
			}
		}
	}
}

func TestTheKillTestBites(t *testing.T) {
	t.Parallel()
	s, schema, user := ordersTable(t)
	for range 50 {
		killed(t, "write apart", schema, user)
		if halves(t, s, schema, user) > 0 {
			return
		}
	}
	t.Error("order and row were written in two transactions, and 50 kills have not shown it")
}
