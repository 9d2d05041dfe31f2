// Package contract has what the contracts of the shop have in common: how an event is read, and what every event must have.
package contract

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
)

// ErrForeign says that a message is not of a contract.
var ErrForeign = errors.New("not an event of this contract")

// Foreign is the error for a message whose type is none of a contract's.
func Foreign[T ~string](m tidings.Message, types ...T) error {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return fmt.Errorf("%w: type %q: want one of %s", ErrForeign, m.Type, strings.Join(names, ", "))
}

// Read is the payload of a message of the given event. It refuses what can't be right.
func Read[T tidings.Validator](event *tidings.Event[T], m tidings.Message) (any, error) {
	payload, err := event.In(m)
	if err == nil {
		err = payload.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("message %s of type %s: %w", m.ID, m.Type, err)
	}
	return payload, nil
}

// WantID refuses an id that is missing.
func WantID(field string, id uuid.UUID) error {
	if id == uuid.Nil {
		return fmt.Errorf("%s: want one", field)
	}
	return nil
}

// WantLater refuses the revision of a first event where a later one is told of.
func WantLater(revision int64) error {
	if revision < 2 {
		return fmt.Errorf("revision: want 2 or more, not %d", revision)
	}
	return nil
}

// Stored is where the broker has stored an event that was published directly.
type Stored struct {
	Topic     string `json:"topic"`
	Partition int    `json:"partition"`
	Sequence  uint64 `json:"sequence"`
}
