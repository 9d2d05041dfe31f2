package storetest

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"github.com/tidings-go/tidings/store"
)

func heldScenarios() []scenario {
	return []scenario{
		on("held/held rows keep their ids and are not offered", heldKeepPlace),
		on("held/a held row that becomes ready has a place behind all", heldToReady),
		on("held/a dead row can be held, and the other way round", deadToHeld),
		on("held/a row can begin as held, once", heldOnce),
		on("held/what has a key is found among many others", heldByKey),
		on("held/notes replace the history with the transaction", notes),
	}
}

func (b *bench) ids(states ...store.State) []int64 {
	b.Helper()
	var ids []int64
	for _, r := range b.list(store.Filter{States: states}) {
		ids = append(ids, r.ID)
	}
	return ids
}

func heldKeepPlace(b *bench) {
	b.append(row("k", "1"), row("k", "2"), row("k", "3"), row("l", "4"))
	ids := b.ids(store.Ready)
	if n := b.move(store.Held, ids[1], ids[2]); n != 2 {
		b.Fatalf("%d rows were moved, want 2", n)
	}
	if held := b.ids(store.Held); len(held) != 2 || held[0] != ids[1] || held[1] != ids[2] {
		b.Fatalf("rows %v are held, want %v", held, ids[1:3])
	}
	b.take("", 2, all)
	b.wantValues("2", "3")
}

func heldToReady(b *bench) {
	b.append(row("k", "1"), row("k", "2"))
	ids := b.ids(store.Ready)
	b.move(store.Held, ids...)
	b.append(row("k", "3"))
	b.move(store.Ready, ids...)
	b.wantValues("3", "1", "2")
	if taken := b.take("", 3, all); string(taken[2].Value) != "2" {
		b.Fatalf("the last row offered is %q, want 2", taken[2].Value)
	}
}

func deadToHeld(b *bench) {
	b.append(dead("", "/s", "1", "first"))
	id := b.ids(store.Dead)[0]
	b.move(store.Held, id)
	if held := b.ids(store.Held); len(held) != 1 || held[0] != id {
		b.Fatalf("rows %v are held, want %d", held, id)
	}
	b.move(store.Dead, id)
	if again := b.ids(store.Dead); len(again) != 1 || again[0] != id {
		b.Fatalf("rows %v are dead, want %d", again, id)
	}
}

func held(queue, key, id, value string) store.Row {
	r := dead(queue, "/s", id, value)
	r.State, r.Record.Key = store.Held, key
	return r
}

func heldOnce(b *bench) {
	b.append(dead("q", "/s", "1", "dead"), held("q", "k", "2", "held"), held("q", "k", "3", "held too"))
	b.append(held("q", "k", "1", "is dead"), held("q", "k", "2", "is held"), held("q", "k", "4", "new"), held("p", "k", "2", "other queue"))
	b.wantValues("dead", "held", "held too", "new", "other queue")
	b.append(dead("q", "/s", "2", "held and dead"), held("q", "k", "", "nobody"), held("q", "k", "", "nobody"))
	b.wantValues("dead", "held", "held too", "new", "other queue", "held and dead", "nobody", "nobody")
	rows := b.list(store.Filter{Queues: []string{"q"}, States: []store.State{store.Held}})
	b.move(store.Gone, rows[0].ID)
	b.move(store.Dead, rows[1].ID)
	if again := b.list(store.Filter{States: []store.State{store.Dead}}); len(again) != 3 || again[1].ID != rows[1].ID {
		b.Fatalf("the dead rows are %q, want the held one in its place", valuesOf(again))
	}
}

func heldByKey(b *bench) {
	long := strings.Repeat("long", 2000)
	var rows []store.Row
	for i := range 300 {
		id := strconv.Itoa(i)
		rows = append(rows, held("q", "k"+id, id, "v"+id), held("q", long+id, "l"+id, "v"+id), held("p", "k"+id, id, "other queue"))
	}
	b.append(rows...)
	for _, key := range []string{"k7", long + "7"} {
		if found := b.list(store.Filter{Queues: []string{"q"}, Key: key}); len(found) != 1 || string(found[0].Record.Value) != "v7" {
			b.Fatalf("%d rows have the key, the first of %q, want v7", len(found), valuesOf(found))
		}
	}
}

func notes(b *bench) {
	b.append(row("k", "1"), row("k", "2"))
	ids := b.ids(store.Ready)
	b.tx(func(tx store.Tx) error {
		if err := tx.Note(b.ctx, ids[0], []byte(`["why"]`)); err != nil {
			return err
		}
		_, err := tx.Move(b.ctx, store.Dead, ids[0])
		return err
	})
	_ = b.s.InTx(b.ctx, func(_ context.Context, tx store.Native) error {
		if err := tx.StoreTx().Note(b.ctx, ids[0], []byte(`["rolled back"]`)); err != nil {
			b.Errorf("note: %v", err)
		}
		return errUser
	})
	b.tx(func(tx store.Tx) error { return tx.Note(b.ctx, ids[1]+1000, []byte(`["nobody"]`)) })
	dead := b.list(store.Filter{States: []store.State{store.Dead}})
	if len(dead) != 1 || !bytes.Equal(dead[0].History, []byte(`["why"]`)) {
		b.Fatalf("the dead rows are %+v, want one whose history says why", dead)
	}
}
