// Package notification tells customers what happens to their orders. It imports nothing of package order: it looks up at run time what the domain "order"
// emits, and takes all of it, also what is added later. Of an event that comes in several versions it gets the newest.
//
// It listens, live: each event is heard by one of the workers of all replicas. Nothing is kept for it: what comes while nobody listens is not heard, and what was
// sent again, because the broker did not answer in time, may be heard again. Where that matters, a subscription is the right thing.
package notification

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/tidings-go/tidings"
)

// keep is how many notices are remembered.
const keep = 20

// LatestNotices asks what was told last, in this process.
var LatestNotices = tidings.DefineRequest[Latest, Notices]("notification", "LatestNotices", "v1")

// Latest has nothing to say.
type Latest struct{}

// Notices are the latest notices, and how many there were.
type Notices struct {
	Count  int      `json:"count"`
	Latest []Notice `json:"latest"`
}

// Notice is what a customer was told.
type Notice struct {
	OrderID string `json:"order_id"`
	// Event is the event's type, such as "order.OrderShipped.v1".
	Event string `json:"event"`
	// Data is the event's payload.
	Data tidings.Raw `json:"data"`
}

type notifications struct {
	log *slog.Logger

	mu     sync.Mutex
	count  int
	latest []Notice
}

// Add adds the module to an app.
func Add(app *tidings.App, log *slog.Logger) {
	n := &notifications{log: log}
	m := app.AddModule("notification")
	m.Discover(func(c *tidings.Catalog) error {
		var reactions []tidings.LiveReaction
		for _, entry := range c.Events("order") {
			reactions = append(reactions, tidings.On(entry.Event(), n.notify))
		}
		if len(reactions) == 0 {
			return errors.New("no module emits events of the domain order: add one")
		}
		m.Listen(tidings.Listener{Queue: "notification-workers"}, reactions...)
		return nil
	})
	m.Serve(tidings.Serve(LatestNotices, n.answer))
}

func (n *notifications) notify(ctx context.Context, data tidings.Raw) error {
	m, _ := tidings.MessageFrom(ctx)
	n.log.LogAttrs(ctx, slog.LevelInfo, "a customer is told", slog.String("order", m.Key), slog.String("event", m.Type))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.count++
	n.latest = append(n.latest, Notice{OrderID: m.Key, Event: m.Type, Data: slices.Clone(data)})
	n.latest = n.latest[max(0, len(n.latest)-keep):]
	return nil
}

func (n *notifications) answer(context.Context, Latest) (Notices, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return Notices{Count: n.count, Latest: append([]Notice{}, n.latest...)}, nil
}
