package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/shop/contract"
)

// publishRaw publishes bytes, by topic and type: for tools, and for what was missed. It checks that the service has such an event, and not the bytes.
var publishRaw = tidings.DefineRequest[rawEvent, contract.Stored]("shop", "PublishRaw", "v1", tidings.Internal)

// rawEvent is an event whose Go type nobody knows here.
type rawEvent struct {
	Topic string          `json:"topic"`
	Type  string          `json:"type"`
	Key   string          `json:"key"`
	Data  json.RawMessage `json:"data"`
}

// addRaw makes a service publish bytes to the topic that it writes.
func addRaw(app *tidings.App) {
	app.Serve(tidings.Serve(publishRaw, func(ctx context.Context, e rawEvent) (contract.Stored, error) {
		for _, known := range app.Catalog().All() {
			if known.PublishTopic != e.Topic || known.Type() != e.Type {
				continue
			}
			m := known.Event().New(e.Data)
			m.Key, m.Subject = e.Key, e.Key
			receipts, err := app.Direct().Send(ctx, m)
			if err != nil {
				return contract.Stored{}, fmt.Errorf("%w: %w", tidings.CodeInvalid, err)
			}
			return contract.Stored(receipts[0]), nil
		}
		writes, _ := topicsOf(app)
		return contract.Stored{}, fmt.Errorf("service %s publishes no %q to %q, only its own events to %q: %w", app.Name(), e.Type, e.Topic, writes, tidings.CodeInvalid)
	}))
}

// topicsOf are the topics that a service writes to and reads from.
func topicsOf(app *tidings.App) (writes, reads []string) {
	d, err := app.Describe()
	if err != nil { // only Discover functions fail, and there are none
		return nil, nil
	}
	for _, t := range d.Topics {
		if len(t.Publishers) > 0 {
			writes = append(writes, t.Name)
		}
		if len(t.Readers) > 0 {
			reads = append(reads, t.Name)
		}
	}
	slices.Sort(writes)
	slices.Sort(reads)
	return writes, reads
}
