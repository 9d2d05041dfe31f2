package tidings

import (
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// Plain is for topics that carry bare payloads without an envelope, such as those of a system that one migrates from: the event is
// published as its payload, key and headers alone, and whatever has no envelope on its topic is read as this event. Messages with an
// envelope may be on the same topic and are read as usual.
//
// What the wire doesn't say is made up when a message is read: its id and source are those of its place ("{topic}/{partition}/{sequence}"), its
// time is that of the broker. So an inbox knows a message that comes again from the same place, but not one that was published twice, and
// correlation and causation are lost. A topic can have one Plain event.
func Plain() Option { return optionFunc(func(c *core) { c.def.Plain = true }) }

// encodePlain makes the record of a message that has no envelope.
func encodePlain(m *Message, topic string) broker.Record {
	headers := make([]broker.Header, 0, 1+len(m.Headers))
	headers = append(headers, broker.Header{Name: "content-type", Value: m.ContentType})
	return broker.Record{Topic: topic, Key: m.Key, ID: dedupeID(m), Headers: append(headers, m.Headers...), Value: m.Data}
}

// decode reads a record, with or without an envelope. An error is for the dead letters: trying again can't help.
func (a *App) decode(d *broker.Delivery) (Message, error) {
	if def, ok := a.plainOf(d); ok {
		return decodePlain(def, d), nil
	}
	return decodeMessage(d)
}

// plainOf is the definition of a record that has no envelope, where its topic has such an event.
func (a *App) plainOf(d *broker.Delivery) (Definition, bool) {
	if len(a.plain) == 0 {
		return Definition{}, false
	}
	def, ok := a.plain[d.Topic]
	if !ok {
		return def, false
	}
	_, enveloped := cloudevents.PeekType(d.Headers, d.Value)
	return def, !enveloped
}

func decodePlain(def Definition, d *broker.Delivery) Message {
	m := Message{ID: placeOf(d), Source: "/" + d.Topic, Type: def.Type(), Key: d.Key, Time: d.Time, Data: d.Value}
	for _, h := range d.Headers {
		switch h.Name {
		case "content-type":
			m.ContentType = h.Value
		case keptHeader:
		default:
			m.Headers = append(m.Headers, h)
		}
	}
	return m
}

// plainTopics finds the plain events by their topics. The first of a topic counts; Check has reported the others.
func (a *App) plainTopics() map[string]Definition {
	a.mu.Lock()
	defer a.mu.Unlock()
	topics := map[string]Definition{}
	for _, k := range a.cores {
		if !k.full.def.Plain {
			continue
		}
		for _, find := range []func(Definition) (string, error){a.publishTopic, a.readTopic} {
			if topic, err := find(k.full.def); err == nil {
				topics[topic] = k.full.def
			}
		}
	}
	return topics
}

// plain checks that no topic has two events without an envelope, and that one without is not sent where others are told apart by theirs.
func (c *checker) plain() {
	first := map[string]Definition{}
	for _, k := range c.known {
		d := k.full.def
		if !d.Plain {
			continue
		}
		topic, err := c.app.readTopic(d)
		if err != nil {
			continue // reported where the event is used
		}
		if other, ok := first[topic]; ok {
			c.wrong(d.Where, "events %s and %s (%s) are both Plain on topic %q: without an envelope nobody could tell them apart", d.identity(), other.identity(), other.Where, topic)
		}
		first[topic] = d
	}
}
