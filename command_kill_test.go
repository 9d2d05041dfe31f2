package tidings_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
	"github.com/tidings-go/tidings/store/sqlite"
)

// market is what the processes of a test of kills share. It is handed to a child as JSON.
type market struct {
	NATS string
	// Domain is the test's own on the server that all tests share.
	Domain string
	// SQLite is a file; or Postgres a URL with Schema.
	SQLite, Postgres, Schema string
}

// buy is the command. Every tenth is refused, after its row was written.
type buy struct {
	N int `json:"n"`
}

// sale is the answer, and the event: Ref is made by the handler, so that what is handled twice has two.
type sale struct {
	N   int    `json:"n" tidings:"key"`
	Ref string `json:"ref"`
}

func refused(n int) bool { return n%10 == 7 }

func (m *market) command() *tidings.Request[buy, sale] {
	return tidings.DefineRequest[buy, sale](m.Domain, "Buy", "v1")
}

func (m *market) sold() *tidings.Event[sale] {
	return tidings.Define[sale](m.Domain, "Sold", "v1", tidings.Topic(m.Domain))
}

// shelf is an open store, and how its tables begin.
type shelf struct {
	store  store.Store
	db     *sql.DB
	prefix string
	close  func() error
}

func (m *market) open(ctx context.Context) (*shelf, error) {
	if m.SQLite != "" {
		s, err := sqlite.Open(ctx, m.SQLite, sqlite.Config{})
		if err != nil {
			return nil, err
		}
		return &shelf{s, s.DB(), "", s.Close}, nil
	}
	s, err := postgres.Open(ctx, m.Postgres, postgres.Config{Schema: m.Schema, SQL: true, Lease: 2 * time.Second})
	if err != nil {
		return nil, err
	}
	return &shelf{s, s.DB(), m.Schema + ".", s.Close}, nil
}

func (m *market) app(b broker.Broker, s store.Store, service string) *tidings.App {
	return tidings.New(tidings.Config{
		Service: service, Broker: b, Store: s, Remote: true, Topology: tidings.Fixed{}, Owns: []string{m.Domain},
		Topics: []broker.Topic{{Name: m.Domain, Partitions: 2}}, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
}

// sell is the process that is killed: it answers commands, relays their events, and notes the effect of each event in its database.
func sell(ctx context.Context, said string) (err error) {
	var m market
	if err = json.Unmarshal([]byte(said), &m); err != nil {
		return err
	}
	s, err := m.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	b, err := nats.Open(ctx, m.NATS, nats.Config{LeaseTTL: 2 * time.Second})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	app, sold := m.app(b, s.store, "seller"), m.sold()
	app.Emits(sold)
	app.Serve(tidings.HandleTx(m.command(), func(ctx context.Context, tx *store.SQLTx, c buy) (sale, tidings.Events, error) {
		made := sale{c.N, uuid.NewString()}
		if _, err := tx.ExecContext(ctx, "INSERT INTO "+s.prefix+"sales (n, ref) VALUES ($1, $2)", made.N, made.Ref); err != nil {
			return sale{}, nil, err
		}
		if refused(c.N) {
			return sale{}, tidings.Events{sold.New(made)}, tidings.CodeConflict
		}
		return made, tidings.Events{sold.New(made)}, nil
	}))
	app.Subscribe(tidings.Subscription{Name: "ledger"}, tidings.OnTx(sold, func(ctx context.Context, tx *store.SQLTx, made sale) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO "+s.prefix+"effects (n, ref) VALUES ($1, $2)", made.N, made.Ref)
		return err
	}))
	return app.Run(ctx)
}

func TestCommandsWithKillsOnSQLite(t *testing.T) {
	t.Parallel()
	testKills(t, &market{SQLite: filepath.Join(t.TempDir(), "market.db")})
}

func TestCommandsWithKillsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	testKills(t, &market{Postgres: testenv.Postgres(t), Schema: "kills_" + uuid.NewString()[:8]})
}

// testKills kills the process that answers at random, while clients send it commands until each is answered. Every command that was accepted is then there once:
// as its row, as its answer, as its event and as the effect of that; and nothing is there that was not accepted.
func testKills(t *testing.T, m *market) {
	t.Helper()
	m.NATS, m.Domain = testenv.NATS(t), "m"+uuid.NewString()[:8]
	s := m.makeTables(t)
	commands, kills := 400, 4
	if testenv.Soak() {
		commands, kills = 10_000, 100
	}
	c := m.client(t, commands)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		c.sendAll(t.Context())
	}()
	moments := make([]int, kills) // how many commands have been answered then
	for i := range moments {
		moments[i] = rand.N(commands)
	}
	slices.Sort(moments)
	for _, moment := range moments {
		child := m.start(t)
		testenv.Eventually(t, time.Minute, func() error {
			if n := int(c.answered.Load()); n < moment {
				return fmt.Errorf("%d commands were answered, and the next kill is after %d", n, moment)
			}
			return nil
		})
		<-time.After(rand.N(50 * time.Millisecond))
		kill(t, child)
	}
	last := m.start(t)
	<-sent
	var found *findings
	testenv.Eventually(t, time.Minute, func() error {
		found = s.find(t)
		if len(found.effects) < len(found.rows) {
			return fmt.Errorf("%d of %d events had their effect", len(found.effects), len(found.rows))
		}
		return nil
	})
	kill(t, last)
	found.events = c.events(t)
	for _, problem := range found.problems(c) {
		t.Error(problem)
	}
	t.Logf("%d commands, %d kills, %d retries, %d rows, %d events of which %d came again", commands, kills, c.retries.Load(), len(found.rows), len(found.events), found.again())
	checkOracle(t, found, c)
}

func (m *market) makeTables(t *testing.T) *shelf {
	t.Helper()
	s, err := m.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.Schema != "" {
			_, err = s.db.ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA "+m.Schema+" CASCADE")
		}
		if err = errors.Join(err, s.close()); err != nil {
			t.Error(err)
		}
	})
	if err = s.store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"sales", "effects"} {
		if _, err = s.db.ExecContext(t.Context(), "CREATE TABLE "+s.prefix+table+" (n BIGINT NOT NULL, ref TEXT NOT NULL)"); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// start starts a process that sells.
func (m *market) start(t *testing.T) *exec.Cmd {
	t.Helper()
	said, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env, cmd.Stderr = testenv.AsChild(string(said)), os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// kill is kill -9. A process that has ended before has failed.
func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the process ended before it was killed: %v", err)
	}
}

// buyers send commands, each until it is answered.
type buyers struct {
	market   *market
	broker   *nats.Broker
	app      *tidings.App
	commands int

	answered, retries atomic.Int64
	mu                sync.Mutex
	answers           map[int]string // ref by command; empty: refused
}

func (m *market) client(t *testing.T, commands int) *buyers {
	t.Helper()
	b, err := nats.Open(t.Context(), m.NATS, nats.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	c := &buyers{market: m, broker: b, app: m.app(b, nil, "buyers"), commands: commands, answers: map[int]string{}}
	t.Cleanup(run(t, c.app))
	return c
}

func (c *buyers) sendAll(ctx context.Context) {
	const clients = 8
	var sending sync.WaitGroup
	command := c.market.command()
	for client := range clients {
		sending.Go(func() {
			for n := client; n < c.commands; n += clients {
				c.send(ctx, command, n)
			}
		})
	}
	sending.Wait()
}

// send sends one command again and again, with one key.
func (c *buyers) send(ctx context.Context, command *tidings.Request[buy, sale], n int) {
	for ctx.Err() == nil {
		patient, cancel := context.WithTimeout(ctx, time.Second)
		made, err := command.Call(patient, c.app, buy{n}, tidings.Once("buy-"+strconv.Itoa(n)))
		cancel()
		if err == nil || errors.Is(err, tidings.CodeConflict) {
			c.mu.Lock()
			c.answers[n] = made.Ref
			c.mu.Unlock()
			c.answered.Add(1)
			return
		}
		c.retries.Add(1)
		<-time.After(10 * time.Millisecond)
	}
}

// events are all that were published, as they are in the topic.
func (c *buyers) events(t *testing.T) (all []published) {
	t.Helper()
	var mu sync.Mutex
	sold := c.market.sold()
	err := c.broker.Consume(t.Context(), broker.Reader{Topics: []string{c.market.Domain}, ToEnd: true}, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 100, 1<<20)
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Error(err)
				}
				return
			}
			for _, d := range deliveries {
				made, err := sold.Decode(d.Value)
				if err != nil {
					t.Error(err)
				}
				id, _ := d.Header("ce-id")
				mu.Lock()
				all = append(all, published{made, id})
				mu.Unlock()
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// published is an event in the topic.
type published struct {
	sale

	id string
}

// findings are what there is in the end.
type findings struct {
	rows, effects []sale
	events        []published
}

func (s *shelf) find(t *testing.T) *findings {
	t.Helper()
	read := func(table string) (all []sale) {
		rows, err := s.db.QueryContext(t.Context(), "SELECT n, ref FROM "+s.prefix+table)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var made sale
			if err := rows.Scan(&made.N, &made.Ref); err != nil {
				t.Fatal(err)
			}
			all = append(all, made)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	effects := read("effects") // before the rows: what comes between has a row and no effect yet
	return &findings{effects: effects, rows: read("sales")}
}

// again is how many events are in the topic for the second time: a relay was killed between publishing them and noting that.
func (f *findings) again() int {
	ids := map[string]bool{}
	for _, e := range f.events {
		ids[e.id] = true
	}
	return len(f.events) - len(ids)
}

// problems compares what there is with what was answered.
func (f *findings) problems(c *buyers) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	accepted := map[sale]int{}
	for n := range c.commands {
		switch ref, answered := c.answers[n]; {
		case !answered:
			wrong("command %d was not answered", n)
		case (ref == "") != refused(n):
			wrong("command %d was answered with %q", n, ref)
		case ref != "":
			accepted[sale{n, ref}] = 1
		}
	}
	events, seen := []sale{}, map[string]bool{}
	for _, e := range f.events {
		if !seen[e.id] { // the same event again is at-least-once, and has no second effect
			events = append(events, e.sale)
		}
		seen[e.id] = true
	}
	for _, of := range []struct {
		name string
		all  []sale
	}{{"rows", f.rows}, {"events", events}, {"effects", f.effects}} {
		times := map[sale]int{}
		for _, s := range of.all {
			if times[s]++; accepted[s] == 0 {
				wrong("%s has %v, which was not accepted", of.name, s)
			}
		}
		for s := range accepted {
			if times[s] != 1 {
				wrong("%s has %v %d times", of.name, s, times[s])
			}
		}
	}
	return problems
}

// checkOracle shows that problems sees what must not be.
func checkOracle(t *testing.T, f *findings, c *buyers) {
	t.Helper()
	other := sale{f.rows[0].N, "other"}
	for name, worse := range map[string]findings{
		"a row is missing":         {f.rows[1:], f.effects, f.events},
		"a row is there twice":     {append([]sale{f.rows[0]}, f.rows...), f.effects, f.events},
		"it was handled twice":     {append([]sale{other}, f.rows...), append([]sale{other}, f.effects...), append([]published{{other, "x"}}, f.events...)},
		"an event is missing":      {f.rows, f.effects, slices.DeleteFunc(slices.Clone(f.events), func(e published) bool { return e.N == other.N })},
		"an event has no row":      {f.rows, f.effects, append([]published{{other, "x"}}, f.events...)},
		"an event was made twice":  {f.rows, f.effects, append([]published{{f.events[0].sale, "x"}}, f.events...)},
		"an effect is missing":     {f.rows, f.effects[1:], f.events},
		"an effect is there twice": {f.rows, append([]sale{f.effects[0]}, f.effects...), f.events},
	} {
		if len(worse.problems(c)) == 0 {
			t.Errorf("%s, and nobody notices", name)
		}
	}
}
