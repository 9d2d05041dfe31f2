package interop_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/internal/cloudevents"
	"github.com/tidings-go/tidings/internal/testenv"
)

// The modes of CloudEvents.
const (
	binary     = "binary"
	structured = "structured"
)

// sdk is an official one.
type sdk interface {
	name() string
	// read returns an event for each message; an empty one where the SDK refuses a message, as the error says.
	read(t *testing.T, s server, messages []wire) ([]event, error)
	write(t *testing.T, s server, mode string, events []event) []wire
	// reads and writes are what the SDK is known to make of an event in binary mode.
	reads(s server, e event) event
	writes(s server, e event) event
}

func sdks(t *testing.T) []sdk {
	t.Helper()
	return []sdk{goSDK{}, newPython(t)}
}

// placed has a composite key.
type placed struct {
	Tenant string `json:"tenant" tidings:"key"`
	Order  int    `json:"order" tidings:"key"`
	Show   string `json:"show" tidings:"subject"`
}

var orderPlaced = tidings.Define[placed]("interop", "OrderPlaced", "v1", tidings.Topic("any"))

// What tidings writes, the SDKs read.
func TestOthersReadWhatTidingsWrites(t *testing.T) {
	t.Parallel()
	others := sdks(t)
	for _, s := range servers(t) {
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()
			app := start(t, s)
			want, wantStructured := samples("binary-"), samples("structured-")
			messages := make([]tidings.Message, len(want))
			for i, e := range want {
				messages[i] = e.message(t)
			}
			own := orderPlaced.New(placed{`Müller|Söhne\Cie`, 7, "Łódź"})
			own.Source, own.CorrelationID = "/interop", own.ID
			messages, want = append(messages, own), append(want, eventOf(&own))
			if own.Key != `Müller\|Söhne\\Cie|7` || own.Subject != "Łódź" {
				t.Errorf("key %q, subject %q", own.Key, own.Subject)
			}
			if err := app.Forward(t.Context(), app.topic, messages...); err != nil {
				t.Fatal(err)
			}
			app.publishStructured(t, wantStructured)
			compare(t, app.await(t, len(want)+len(wantStructured)), append(want, wantStructured...)) // tidings itself

			onWire := s.read(t, app.topic, len(want)+len(wantStructured))
			for _, w := range onWire {
				if key := w.Headers["ce_partitionkey"]; s.name() == "kafka" && key != "" && key != w.Key {
					t.Errorf("the record's key is %q, its partitionkey %q", w.Key, key)
				}
			}
			for _, other := range others {
				t.Run(other.name(), func(t *testing.T) {
					var known []event
					for _, e := range want {
						known = append(known, other.reads(s, e))
					}
					for _, e := range wantStructured {
						known = append(known, inDocument(other, s, e))
					}
					got, err := other.read(t, s, onWire)
					if err != nil {
						t.Error(err)
					}
					compare(t, got, known)
				})
			}
		})
	}
}

// What the SDKs write, tidings reads.
func TestTidingsReadsWhatOthersWrite(t *testing.T) {
	t.Parallel()
	others := sdks(t)
	for _, s := range servers(t) {
		t.Run(s.name(), func(t *testing.T) {
			t.Parallel()
			app := start(t, s)
			var want []event
			for _, other := range others {
				for _, mode := range []string{binary, structured} {
					events := samples(other.name() + "-" + mode + "-")
					s.write(t, app.topic, other.write(t, s, mode, events))
					for _, e := range events {
						if mode == binary {
							want = append(want, other.writes(s, e))
						} else {
							want = append(want, inDocument(other, s, e))
						}
					}
				}
			}
			compare(t, app.await(t, len(want)), want)
		})
	}
}

// inDocument is what an SDK is known to make of an event in structured mode, where nothing depends on the server.
func inDocument(other sdk, s server, e event) event {
	if other.name() == "python" {
		return other.reads(s, e)
	}
	return e
}

// running is an app that reads everything on one topic.
type running struct {
	*tidings.App
	topic string

	mu   sync.Mutex
	seen map[string]event
}

func start(t *testing.T, s server) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c, err := connect.Open(ctx, connect.Config{Broker: s.url(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	name := newName()
	r := &running{topic: name, seen: map[string]event{}}
	r.App = tidings.New(tidings.Config{
		Service: name, Broker: c.Broker, Topology: tidings.Fixed{}, Topics: []broker.Topic{{Name: name, Partitions: 1}}, Log: slog.New(slog.DiscardHandler),
	})
	r.Subscribe(tidings.Subscription{Name: "all", Topics: []string{name}}, tidings.On(tidings.Any(), r.take))
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, c.Close()); err != nil {
			t.Error(err)
		}
		s.remove(t, name)
	})
	select {
	case <-r.Ready():
	case err := <-ended:
		ended <- err
		t.Fatal("the app ended")
	}
	return r
}

func (r *running) take(ctx context.Context, _ tidings.Raw) error {
	m, _ := tidings.MessageFrom(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[m.ID] = eventOf(&m)
	return nil
}

// await returns what the app has read, once that is n events.
func (r *running) await(t *testing.T, n int) []event {
	t.Helper()
	var events []event
	testenv.Eventually(t, patience, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		events = nil
		for _, e := range r.seen {
			events = append(events, e)
		}
		if len(events) < n {
			return errMissing(len(events), n, nil)
		}
		return nil
	})
	return events
}

// publishStructured publishes events in structured mode, which apps never do by themselves.
func (r *running) publishStructured(t *testing.T, events []event) {
	t.Helper()
	records := make([]broker.Record, len(events))
	for i, e := range events {
		m := e.message(t)
		headers, value, err := cloudevents.Structured(&cloudevents.Event{
			ID: m.ID, Source: m.Source, Type: m.Type, Subject: m.Subject, Time: m.Time, ContentType: m.ContentType, DataSchema: m.DataSchema,
			PartitionKey: m.Key, CorrelationID: m.CorrelationID, CausationID: m.CausationID, TraceParent: m.TraceParent, TraceState: m.TraceState,
			Extensions: m.Extensions, Data: m.Data,
		})
		if err != nil {
			t.Fatal(err)
		}
		records[i] = broker.Record{Topic: r.topic, Key: m.Key, ID: m.ID, Headers: headers, Value: value}
	}
	stored := make(chan error, len(records))
	r.Broker().Publish(t.Context(), records, func(_ int, _ broker.Receipt, err error) { stored <- err })
	for range records {
		if err := <-stored; err != nil {
			t.Fatal(err)
		}
	}
}

func errMissing(got, want int, err error) error {
	return errors.Join(fmt.Errorf("%d of %d have arrived", got, want), err)
}

// percentEncode is what the HTTP and NATS bindings do to values.
func percentEncode(value string) string {
	var b strings.Builder
	for _, c := range []byte(value) {
		if c > ' ' && c <= '~' && c != '"' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
