package postgres_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

// arguments are those of the statements, for EXECUTE: a horizon, lanes, a limit, an id, and another horizon.
var arguments = map[string]string{
	"outbox tail":    `'1000', '{900,901}', '{0,1,2,3}', 1000`,
	"outbox chunk":   `'1000', '{900,901}', '{0,1,2,3}', 1000, 500, '2000', '{1990}'`,
	"outbox settle":  `'{1,2,3}'`,
	"letters tail":   `'1000', '{900,901}', '{shop.mailer}', 1000`,
	"letters chunk":  `'1000', '{900,901}', '{shop.mailer}', 1000, 500, '2000', '{1990}'`,
	"letters settle": `'{1,2,3}'`,
}

// wantIndexes are the indexes of each statement's plan, and how often it uses them: no other, and nothing but indexes.
var wantIndexes = map[string]map[string]int{
	"outbox tail":    {"outbox_0_txid": 2, "outbox_1_txid": 2, "outbox_2_txid": 2},
	"outbox chunk":   {"outbox_0_txid": 2, "outbox_1_txid": 2, "outbox_2_txid": 2, "outbox_0_id": 1, "outbox_1_id": 1, "outbox_2_id": 1},
	"outbox settle":  {"outbox_0_id": 1},
	"letters tail":   {"letters_ready_txid": 2},
	"letters chunk":  {"letters_ready_txid": 2, "letters_ready": 1},
	"letters settle": {"letters_pkey": 1},
}

// A queue's statistics are those of an empty table, or of a full one, just as it happened to be. The plans must not depend on that.
func TestPlansUseTheirIndexesWhateverTheStatistics(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	schema := schemaOf(s)
	conn := planner(t, s)
	tables := schema + `.outbox, ` + schema + `.outbox_0, ` + schema + `.letters`
	exec(t, conn, `ANALYZE `+tables)
	checkPlans(t, conn, s, "empty")
	var rows []store.Row
	for n := range 5000 {
		letter := benchRow("orders", n)
		letter.Queue = "shop.mailer"
		rows = append(rows, benchRow("orders", n), letter)
	}
	appendRows(t, s, rows...)
	checkPlans(t, conn, s, "full, and analysed when it was empty")
	exec(t, conn, `ANALYZE `+tables)
	exec(t, conn, `DISCARD PLANS`)
	checkPlans(t, conn, s, "full, and analysed so")
}

// planner is a session with the settings of the readers and the statements prepared.
func planner(tb testing.TB, s *postgres.Store) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), testenv.Postgres(tb))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.WithoutCancel(tb.Context())) })
	exec(tb, conn, `SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan; SET jit = off`)
	for name, statement := range s.Statements() {
		exec(tb, conn, `PREPARE "`+name+`" AS `+statement)
	}
	return conn
}

func exec(tb testing.TB, conn *pgx.Conn, statement string) {
	tb.Helper()
	if _, err := conn.Exec(tb.Context(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// plan is a node of a plan as EXPLAIN prints it.
type plan struct {
	Type    string `json:"Node Type"`
	Index   string `json:"Index Name"`
	Hit     int    `json:"Shared Hit Blocks"`
	Read    int    `json:"Shared Read Blocks"`
	Actual  int    `json:"Actual Rows"`
	Members []plan `json:"Plans"`
}

func explain(tb testing.TB, conn *pgx.Conn, options, statement string) plan {
	tb.Helper()
	var text []byte
	if err := conn.QueryRow(tb.Context(), `EXPLAIN (FORMAT JSON`+options+`) `+statement, pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		tb.Fatalf("%s: %v", text, err)
	}
	return plans[0].Plan
}

func (p *plan) walk(visit func(p *plan)) {
	visit(p)
	for i := range p.Members {
		p.Members[i].walk(visit)
	}
}

func checkPlans(t *testing.T, conn *pgx.Conn, s *postgres.Store, when string) {
	t.Helper()
	for name := range s.Statements() {
		used := map[string]int{}
		top := explain(t, conn, "", `EXECUTE "`+name+`" (`+arguments[name]+`)`)
		top.walk(func(p *plan) {
			if strings.Contains(p.Type, "Scan") && p.Type != "Subquery Scan" {
				used[p.Type+" "+p.Index]++
			}
			if p.Type == "Materialize" || strings.Contains(p.Type, "Hash") {
				t.Errorf("%s, %s: the plan has a node %s", name, when, p.Type)
			}
		})
		want := map[string]int{}
		for index, times := range wantIndexes[name] {
			want["Index Scan "+index] = times
		}
		if fmt.Sprint(used) != fmt.Sprint(want) {
			t.Errorf("%s, %s: the plan uses %v, want %v", name, when, used, want)
		}
	}
}

// A transaction that stays open keeps the server from cleaning up deleted rows. A look at the outbox must not have to pass them all.
func TestALongTransactionDoesNotMakeLooksDearer(t *testing.T) {
	t.Parallel()
	s := ready(t, postgres.Config{})
	conn := planner(t, s)
	look := func() int {
		horizon := one[string](t, s, `SELECT pg_snapshot_xmax(pg_current_snapshot())::text`)
		top := explain(t, conn, ", ANALYZE, BUFFERS", `EXECUTE "outbox tail" ('`+horizon+`', '{}', '{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}', 1000)`)
		return top.Hit + top.Read
	}
	appendRows(t, s, benchRow("orders", 0))
	before := look()
	reader := begin(t, s)
	if _, err := reader.Exec(t.Context(), `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ`); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), `SELECT count(*) FROM `+schemaOf(s)+`.outbox`); err != nil {
		t.Fatal(err)
	}
	relay := startRelay(t, s, true)
	for range 10 {
		rows := make([]store.Row, 1000)
		for n := range rows {
			rows[n] = benchRow("orders", n)
		}
		appendRows(t, s, rows...)
	}
	testenv.Eventually(t, testPatience, func() error { return empty(t, s) })
	relay.stop()
	after := look()
	cursor := explain(t, conn, ", ANALYZE, BUFFERS", `SELECT id FROM `+schemaOf(s)+`.outbox_0 WHERE id > 0 ORDER BY id LIMIT 100`)
	t.Logf("a look touches %d pages before and %d after, a search for the oldest row %d", before, after, cursor.Hit+cursor.Read)
	if after > before+20 {
		t.Errorf("a look touches %d pages, and %d after 10,000 rows were deleted", before, after)
	}
	if cursor.Hit+cursor.Read < 10*after {
		t.Errorf("a search for the oldest row touches only %d pages: nothing was proved", cursor.Hit+cursor.Read)
	}
}

// one runs a query for one value.
func one[T any](tb testing.TB, s *postgres.Store, query string, args ...any) (value T) {
	tb.Helper()
	if err := s.Pool().QueryRow(tb.Context(), query, args...).Scan(&value); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
	return value
}
