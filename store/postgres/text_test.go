package postgres_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"

	"github.com/jackc/pgx/v5"
)

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "ünï ✓", "a\x00b", "not \xff UTF-8", `\`, `\\`, `\000`, `\8`, "\xf0\x9f\x92"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := postgres.DecodeText(postgres.EncodeText(s)); got != s {
			t.Errorf("%q came back as %q", s, got)
		}
		_ = postgres.DecodeText(s) // Whatever a person wrote.
	})
}

// People read the tables too: what this package escapes is what PostgreSQL's own function reads.
func TestTextIsWhatDecodeReads(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, s := range []string{"", "orders", "ünïcødé ✓ 日本", "a\x00b", "not \xff UTF-8", `back\slash`, `\x41`, `\101`} {
		var got []byte
		err := conn.QueryRow(t.Context(), `SELECT decode($1::text, 'escape')`, postgres.EncodeText(s)).Scan(&got)
		if err != nil || string(got) != s {
			t.Errorf("PostgreSQL reads %q as %q (%v)", s, got, err)
		}
	}
	if got := postgres.EncodeText("orders.v1|ünï"); got != "orders.v1|ünï" {
		t.Errorf("a plain string is written as %q", got)
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("name", "value", []byte{1, 'a', 0})
	f.Fuzz(func(t *testing.T, name, value string, damaged []byte) {
		want := []broker.Header{{Name: name, Value: value}, {Name: value}, {}}
		if got, err := postgres.DecodeHeaders(postgres.EncodeHeaders(want)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q came back as %q, %v", want, got, err)
		}
		got, err := postgres.DecodeHeaders(damaged)
		if err != nil {
			return
		}
		if again, err := postgres.DecodeHeaders(postgres.EncodeHeaders(got)); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%q came back as %q, %v", got, again, err)
		}
	})
}

// Lanes are fixed for ever: rows that are there when a program is updated must stay in order with those that come after.
func TestLanesAreFixed(t *testing.T) {
	t.Parallel()
	row := func(topic, key, message, id string) *store.Row {
		return &store.Row{Record: broker.Record{Topic: topic, Key: key, ID: id}, MessageID: message}
	}
	for _, c := range []struct {
		row  *store.Row
		want int16
	}{
		{row("orders", "42", "", ""), 6},
		{row("orders", "42", "other", "other"), 6},
		{row("orders", "43", "", ""), 9},
		{row("payments", "42", "", ""), 0},
		{row("orders", "", "message", "id"), 3},
		{row("orders", "", "", "id"), 9},
		{row("orders", "", "", ""), 4},
	} {
		if got := postgres.LaneOf(c.row); got != c.want {
			t.Errorf("topic %q, key %q, message %q, id %q is in lane %d, want %d",
				c.row.Record.Topic, c.row.Record.Key, c.row.MessageID, c.row.Record.ID, got, c.want)
		}
	}
}
