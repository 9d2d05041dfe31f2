package platform

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// service is the platform's name, and that of its domain.
const service = "tickets"

// registry is the topic in which platforms that share a broker write themselves down. It is kept longer than any of them.
var registry = broker.Topic{Name: "tickets-platforms", Partitions: 1, Retention: 100 * 365 * 24 * time.Hour}

// entry is what a platform writes into the registry.
type entry struct {
	ID string `json:"id"`
	// Plain says that it found no events of others under the plain names. The first one of these has them.
	Plain bool `json:"plain"`
}

// errOtherBroker says that database and broker do not belong together.
var errOtherBroker = errors.New("the events of this database's bookings are on another broker: use that broker, or another database")

// publicTopic is the topic of all public events of the platform called name.
func publicTopic(name string) string {
	if name == service {
		return "events"
	}
	return name + ".events"
}

// findName finds out under which name the platform of this database is on the broker: the plain one if it is the first there, else one of its
// own, so that neither reads what the other publishes. The database remembers it.
func findName(ctx context.Context, b broker.Broker, db *sql.DB) (string, error) {
	if _, err := b.Topics(ctx, broker.Apply, registry); err != nil {
		return "", err
	}
	id, name, err := remembered(ctx, db)
	if errors.Is(err, sql.ErrNoRows) {
		if err = register(ctx, b, db); err != nil {
			return "", err
		}
		id, name, err = remembered(ctx, db) // another process on this database may have been faster
	}
	if err != nil {
		return "", fmt.Errorf("read the platform's name: %w", err)
	}
	entries, err := registered(ctx, b)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.ID == id {
			return name, nil
		}
	}
	return "", errOtherBroker
}

// register writes a new platform down, at the broker and then in the database.
func register(ctx context.Context, b broker.Broker, db *sql.DB) error {
	a := audit{db: db}
	if a.count(ctx, `bookings`) > 0 {
		return errOtherBroker
	}
	states, err := b.Topics(ctx, broker.Inspect, broker.Topic{Name: publicTopic(service)})
	if err = errors.Join(a.err, err); err != nil {
		return err
	}
	me := entry{ID: strings.ToLower(rand.Text()[:8]), Plain: states[0].Messages == 0}
	if err = announce(ctx, b, me); err != nil {
		return err
	}
	entries, err := registered(ctx, b)
	if err != nil {
		return err
	}
	name := service + "-" + me.ID
	for _, e := range entries {
		if e.Plain {
			if e == me {
				name = service
			}
			break
		}
	}
	_, err = db.ExecContext(ctx, `INSERT INTO platform (one, id, name) VALUES (1, $1, $2) ON CONFLICT (one) DO NOTHING`, me.ID, name)
	return err
}

func remembered(ctx context.Context, db *sql.DB) (id, name string, err error) {
	err = db.QueryRowContext(ctx, `SELECT id, name FROM platform`).Scan(&id, &name)
	return id, name, err
}

// announce adds an entry to the registry.
func announce(ctx context.Context, b broker.Broker, e entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	stored := make(chan error, 1)
	records := []broker.Record{{Topic: registry.Name, Key: service, Value: value}}
	b.Publish(ctx, records, func(_ int, _ broker.Receipt, err error) { stored <- err })
	return <-stored
}

// registered reads the registry, in the order in which platforms came.
func registered(ctx context.Context, b broker.Broker) ([]entry, error) {
	var entries []entry
	err := readAll(ctx, b, registry.Name, func(d *broker.Delivery) {
		var e entry
		if json.Unmarshal(d.Value, &e) == nil { // what others write there is no platform
			entries = append(entries, e)
		}
	})
	return entries, err
}
