package platform_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/sqlite"
)

// TestReportSeesEveryDamage damages the data of a run that went well, in one way at a time: the report must show that in the field that
// is meant for it, and in no other that must be zero.
func TestReportSeesEveryDamage(t *testing.T) {
	p := start(t, nil)
	if err := p.Fill(t.Context(), 40, nil); err != nil {
		t.Fatal(err)
	}
	p.quiet()
	p.stop()
	clean := p.report()
	if problems := clean.Problems(); problems != nil {
		t.Fatalf("problems before any damage: %q", problems)
	}
	const victim = `(SELECT booking_id FROM refunds LIMIT 1)` // it has every effect
	for _, test := range []struct {
		name, damage string
		want         func(s *platform.Summary)
	}{
		{"nothing", `SELECT 1`, func(*platform.Summary) {}},
		{
			"a message is not in the lake", `DELETE FROM tidings_lake WHERE subject = ` + victim + ` AND type = 'tickets.TicketPrinted.v1'`,
			func(s *platform.Summary) { s.Lost, s.LakeRows = 1, s.LakeRows-1 },
		},
		{
			"another message of the booking in its place", `UPDATE tidings_lake SET subject = 'x' WHERE subject = ` + victim + ` AND type = 'tickets.TicketRefunded.v1'`,
			func(s *platform.Summary) { s.Lost = 1 },
		},
		{"no confirmation", `DELETE FROM confirmations WHERE booking_id = ` + victim, func(s *platform.Summary) { s.Lost = 1 }},
		{"no receipt", `DELETE FROM receipts WHERE booking_id = ` + victim, func(s *platform.Summary) { s.Lost = 1 }},
		{"no print", `DELETE FROM prints WHERE booking_id = ` + victim, func(s *platform.Summary) { s.Lost = 1 }},
		{"no notifications", `DELETE FROM notifications WHERE booking_id = ` + victim, func(s *platform.Summary) { s.Lost = 2 }},
		{"no log", `DELETE FROM ops_log WHERE booking_id = ` + victim, func(s *platform.Summary) { s.Lost = 5 }},
		{
			"no row in the read model", `DELETE FROM ops_bookings WHERE booking_id = ` + victim,
			func(s *platform.Summary) { s.Lost, s.ReadModelRows = 1, s.ReadModelRows-1 },
		},
		{
			"a double confirmation", `INSERT INTO confirmations SELECT * FROM confirmations WHERE booking_id = ` + victim,
			func(s *platform.Summary) { s.DuplicateEffects = 1 },
		},
		{
			"double notifications", `INSERT INTO notifications SELECT * FROM notifications WHERE booking_id = ` + victim,
			func(s *platform.Summary) { s.DuplicateEffects = 2 },
		},
		{
			"a receipt for nobody", `INSERT INTO receipts (booking_id, show_id, n) VALUES ('x', 'hamlet', 1)`,
			func(s *platform.Summary) { s.DuplicateEffects = 1 },
		},
		{
			"a double entry", `INSERT INTO ops_log (seq, type, show_id, n, booking_id) SELECT 1000000 + seq, type, show_id, n, booking_id FROM ops_log
				WHERE booking_id = ` + victim + ` AND type = 'tickets.BookingMade.v1'`,
			func(s *platform.Summary) { s.DuplicateEffects = 1 },
		},
		{
			"an effect that says another n", `UPDATE prints SET n = n + 1 WHERE booking_id = ` + victim,
			func(s *platform.Summary) { s.Lost, s.DuplicateEffects = 1, 1 },
		},
		{
			"an entry in the wrong place", `UPDATE ops_log SET seq = 1000000 WHERE n = 1 AND type = 'tickets.TicketPrinted.v1'
				AND show_id = (SELECT id FROM shows ORDER BY booked DESC LIMIT 1)`,
			func(s *platform.Summary) { s.OutOfOrder = 1 },
		},
		{
			"an internal event in the lake", `INSERT INTO tidings_lake SELECT 1000000 + position, 'x', source, 'tickets.InternalOpsReadModelUpdated.v1', subject, key, time,
				correlation_id, causation_id, trace_parent, trace_state, data_schema, content_type, extensions, headers, data, stored_at FROM tidings_lake LIMIT 1`,
			func(s *platform.Summary) { s.InternalInLake, s.LakeRows = 1, s.LakeRows+1 },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := clean
			test.want(&want)
			p.damage(t, want, func(s *sqlite.Store) error {
				_, err := s.DB().ExecContext(t.Context(), test.damage)
				return err
			})
		})
	}
}

func TestReportSeesWhatIsLeftInTheStore(t *testing.T) {
	p := start(t, nil)
	p.stop()
	for _, test := range []struct {
		name string
		row  store.Row
		want platform.Summary
	}{
		{"a dead letter", store.Row{Queue: "tickets.receipts", State: store.Dead, Source: "/x", MessageID: "1"}, platform.Summary{DeadLetters: 1}},
		{"a row in the outbox", store.Row{}, platform.Summary{OutboxLeft: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p.damage(t, test.want, func(s *sqlite.Store) error {
				return s.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
					test.row.Record = broker.Record{Topic: "events"}
					return tx.StoreTx().Append(ctx, test.row)
				})
			})
		})
	}
}

func TestSabotageIsSeen(t *testing.T) {
	for _, test := range []struct {
		sabotage platform.Sabotage
		field    func(s *platform.Summary) *int64
	}{
		{platform.Lose, func(s *platform.Summary) *int64 { return &s.Lost }},
		{platform.Dup, func(s *platform.Summary) *int64 { return &s.DuplicateEffects }},
		{platform.Order, func(s *platform.Summary) *int64 { return &s.OutOfOrder }},
		{platform.Leak, func(s *platform.Summary) *int64 { return &s.InternalInLake }},
	} {
		t.Run(string(test.sabotage), func(t *testing.T) {
			p := start(t, test.sabotage.Broker)
			if err := p.Fill(t.Context(), 40, nil); err != nil {
				t.Fatal(err)
			}
			p.quiet()
			got := p.report()
			if *test.field(&got) == 0 || len(got.Problems()) == 0 {
				t.Errorf("it does not show: %+v", got)
			}
			*test.field(&got) = 0
			if got.Lost+got.DuplicateEffects+got.OutOfOrder+got.InternalInLake != 0 {
				t.Errorf("it shows where it does not belong: %+v", got)
			}
		})
	}
	if _, err := platform.ParseSabotage("Lose"); err == nil {
		t.Error("an unknown sabotage was accepted")
	}
	if s, err := platform.ParseSabotage("leak"); err != nil || s != platform.Leak {
		t.Errorf("leak: %q, %v", s, err)
	}
}

// damage copies the data of a platform that has stopped, damages the copy, and compares its report.
func (p *running) damage(t *testing.T, want platform.Summary, do func(s *sqlite.Store) error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "copy.db")
	if _, err := p.db.ExecContext(t.Context(), `VACUUM INTO $1`, path); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	damaged, err := platform.New(t.Context(), platform.Config{Broker: p.broker, Store: s, DB: s.DB()})
	if err != nil {
		t.Fatal(err)
	}
	if err = do(s); err != nil {
		t.Fatal(err)
	}
	got, err := damaged.Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
