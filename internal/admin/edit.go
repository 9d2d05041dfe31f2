package admin

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
	"github.com/tidings-go/tidings/store"
)

// Edit sends a changed message in place of a dead letter to the subscription that gave up on it, and discards the dead letter. The changed message
// is a new one, caused by the old: its id is derived from the dead letter and the change, so that the same edit, submitted twice, is one
// message to every inbox. It must be a valid CloudEvent, and a new payload JSON where the content type says so; the dead letter need not be one.
func Edit(ctx context.Context, s store.Store, dead *store.Row, c Change) (store.Row, error) {
	if dead.Queue == "" || strings.HasSuffix(dead.Queue, discardedSuffix) || dead.State != store.Dead {
		return store.Row{}, fmt.Errorf("admin: edit: row %d is no dead letter of a subscription", dead.ID)
	}
	edited, err := Edited(dead, c)
	if err != nil {
		return store.Row{}, err
	}
	err = inTx(ctx, s, "edit", func(ctx context.Context, tx store.Tx) error {
		if failed := tx.Append(ctx, edited); failed != nil {
			return failed
		}
		return discard(ctx, tx, []store.Row{*dead}, "edited: it became message "+edited.MessageID)
	})
	return edited, err
}

// Edited is the row that Edit would append.
func Edited(dead *store.Row, c Change) (store.Row, error) {
	if c.Data == nil && len(c.Headers) == 0 {
		return store.Row{}, errors.New("admin: edit: nothing is to be changed")
	}
	record := dead.Record
	e, err := cloudevents.Decode(record.Headers, record.Value)
	if err == nil { // In structured mode all of it is in the value: binary mode can be changed header by header.
		if record.Headers, err = cloudevents.AppendHeaders(nil, &e); err != nil {
			return store.Row{}, fmt.Errorf("admin: edit: %w", err)
		}
		record.Value = e.Data
	}
	record.Headers = slices.Clone(record.Headers)
	for _, h := range c.Headers {
		record.Headers = set(record.Headers, h)
	}
	if c.Data != nil {
		record.Value = c.Data
	}
	record.Headers = set(record.Headers, broker.Header{Name: "ce-id", Value: editedID(dead, &record)})
	if dead.MessageID != "" && e.ID != "" {
		record.Headers = set(record.Headers, broker.Header{Name: "ce-causationid", Value: e.ID})
	}
	changed, err := cloudevents.Decode(record.Headers, record.Value)
	if err != nil {
		return store.Row{}, fmt.Errorf("admin: edit: what comes out is no valid event: %w", err)
	}
	if c.Data != nil && cloudevents.IsJSON(changed.ContentType) && !json.Valid(c.Data) {
		return store.Row{}, fmt.Errorf("admin: edit: the content type is %s and the new payload is no JSON: correct one of the two", changed.ContentType)
	}
	record.ID = changed.ID
	if changed.PartitionKey != "" {
		record.Key = changed.PartitionKey
	}
	return store.Row{Record: record, Queue: dead.Queue, Source: changed.Source, MessageID: changed.ID}, nil
}

// editedID derives an id from the dead letter and what becomes of it.
func editedID(dead *store.Row, record *broker.Record) string {
	sum := sha256.New()
	for _, part := range []string{dead.Queue, dead.Source, dead.MessageID, string(record.Value)} {
		sum.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	for _, h := range record.Headers {
		sum.Write([]byte(strconv.Itoa(len(h.Name)+len(h.Value)) + ":" + h.Name + ":" + h.Value))
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, sum.Sum(nil)).String()
}

// set replaces, adds or, without a value, removes a header.
func set(headers []broker.Header, h broker.Header) []broker.Header {
	i := slices.IndexFunc(headers, func(o broker.Header) bool { return o.Name == h.Name })
	switch {
	case i >= 0 && h.Value == "":
		return slices.Delete(headers, i, i+1)
	case i >= 0:
		headers[i] = h
		return headers
	case h.Value == "":
		return headers
	}
	return append(headers, h)
}
