package main

import (
	"encoding/json"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/examples/shop/customer"
	"github.com/tidings-go/tidings/examples/shop/product"
)

// tally follows the revisions of all customers and products, as one observer sees them.
type tally struct {
	latest map[uuid.UUID]int64
	seen   map[revision]bool

	lost, duplicate, outOfOrder int64

	// Of a topic: the ids of the messages, how many there are, and the views of each product.
	ids      map[string]bool
	messages int64
	views    map[uuid.UUID]int64
}

type revision struct {
	id uuid.UUID
	n  int64
}

func newTally() *tally {
	return &tally{latest: map[uuid.UUID]int64{}, seen: map[revision]bool{}, ids: map[string]bool{}, views: map[uuid.UUID]int64{}}
}

// see takes what comes next.
func (t *tally) see(id uuid.UUID, n int64) {
	if t.seen[revision{id, n}] {
		t.duplicate++
		return
	}
	t.seen[revision{id, n}] = true
	if n < t.latest[id] {
		t.outOfOrder++
	}
	t.latest[id] = max(n, t.latest[id])
}

// compare counts what was not seen, and what was and has never been.
func (t *tally) compare(truth map[uuid.UUID]int64) {
	for id, last := range truth {
		for n := int64(1); n <= last; n++ {
			if !t.seen[revision{id, n}] {
				t.lost++
			}
		}
	}
	for r := range t.seen {
		if r.n > truth[r.id] {
			t.duplicate++
		}
	}
}

// message takes a message from a topic. One that was stored twice counts once: whoever reads it knows it by its id.
func (t *tally) message(d *broker.Delivery) error {
	messageID, _ := d.Header("ce-id")
	if t.ids[messageID] {
		return nil
	}
	t.ids[messageID] = true
	t.messages++
	id, err := uuid.Parse(d.Key)
	if err != nil {
		return nil //nolint:nilerr // it is nobody's
	}
	typ, _ := d.Header("ce-type")
	switch typ {
	case string(product.TypeViewed):
		t.views[id]++
	case string(customer.TypeCreated), string(product.TypeCreated):
		t.see(id, 1)
	default:
		var e struct{ Revision int64 }
		if json.Unmarshal(d.Value, &e) == nil {
			t.see(id, e.Revision)
		}
	}
	return nil
}

// compare holds what clients were told against what is there: rows, and views on the topic. A request that failed may have had an effect all the same, and so may a view that was
// sent again.
func (l *load) compare(truth, views map[uuid.UUID]int64) (lost, duplicate int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, n := range l.changes {
		lost += max(0, n-truth[id])
		if l.failed == 0 {
			duplicate += max(0, truth[id]-n)
		}
	}
	for id, n := range l.views {
		lost += max(0, n-views[id])
	}
	return lost, duplicate
}

// differ counts what is missing in got, and what there is too much of.
func differ(want, got map[uuid.UUID]int64) (missing, extra int64) {
	for id, n := range want {
		missing += max(0, n-got[id])
	}
	for id, n := range got {
		extra += max(0, n-want[id])
	}
	return missing, extra
}
