package tidings

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// twinsAttribute is the extension of messages that tell one fact in several versions: the types of all of them, newest first, with spaces between.
const twinsAttribute = "tidingstwins"

// Twins makes messages of several versions of one event one fact, for as long as readers of the older version live:
//
//	err := app.Outbox(tx).Publish(ctx, tidings.Twins(Created2.New(…), Created1.New(…))...)
//
// They get one id and time, and know of each other: a subscription or listener takes the newest that it has a reaction for, directly or by [Evolve], and skips the others. So
// the fact has one effect in each, whatever it reads; across a deployment that adds a version, where an inbox ([OnTx]) knows the id. A reaction to [Any] gets the newest; one to [Every],
// such as the lake's, gets them all. Publish them in one call, as they are: the oldest goes first.
func Twins(newest Message, older ...Message) []Message {
	all := append([]Message{newest}, older...)
	types := make([]string, len(all))
	for i := range all {
		types[i] = all[i].Type
	}
	list := strings.Join(types, " ")
	for i := range all {
		m := &all[i]
		if m.err == nil {
			m.err = checkTwin(all, i)
		}
		m.ID, m.Time = newest.ID, newest.Time
		m.Extensions = append(slices.Clone(m.Extensions), Header{Name: twinsAttribute, Value: list})
	}
	// The oldest goes first. What a service has not handled of it when its next version takes over comes again then, with everything behind it.
	slices.Reverse(all)
	return all
}

// checkTwin reports what keeps a message from being the next version in a list.
func checkTwin(all []Message, i int) error {
	m := &all[i]
	switch {
	case m.event == nil:
		return fmt.Errorf("tidings: twins: a message of type %q: make it with Event.New", m.Type)
	case len(all) < 2:
		return errors.New("tidings: twins: want a message of an older version too")
	case i == 0:
		return nil
	case all[i-1].event == nil:
		return checkTwin(all, i-1)
	}
	d, newer := m.event.def, all[i-1].event
	if newer.def.Domain != d.Domain || newer.def.Name != d.Name || number(newer.def.Version) <= number(d.Version) {
		return fmt.Errorf("tidings: twins: %s after %s: want versions of one event, the newest first", m.Type, all[i-1].Type)
	}
	return nil
}

// isTwin reports whether other messages have m's id.
func (m *Message) isTwin() bool { return m.twins() != nil }

// twins are the types of all messages that have m's id, newest first; none for most messages.
func (m *Message) twins() []string {
	for _, h := range m.Extensions {
		if h.Name == twinsAttribute {
			return strings.Fields(h.Value)
		}
	}
	return nil
}

// rowID is what tells the message from all others of its source in a table: twins are a row each.
func (m *Message) rowID() string {
	if m.isTwin() {
		return m.ID + " " + m.Type
	}
	return m.ID
}

// twinsOf are the types of a record's twins, newest first; none for most records.
func twinsOf(headers []broker.Header, value []byte) []string {
	binary := false
	for i := range headers {
		switch headers[i].Name {
		case "ce-" + twinsAttribute:
			return strings.Fields(headers[i].Value)
		case "ce-type":
			binary = true
		}
	}
	if binary {
		return nil
	}
	e, err := cloudevents.Decode(headers, value)
	if err != nil {
		return nil // whoever handles it says so
	}
	return (&Message{Extensions: e.Extensions}).twins()
}

// younger reports whether a record has a twin that is to be handled in its place: the newest that handles takes.
func younger(typ string, twins []string, handles func(typ string) bool) bool {
	i := slices.IndexFunc(twins, handles)
	return i >= 0 && twins[i] != typ && slices.Contains(twins, typ)
}
