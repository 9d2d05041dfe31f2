package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	kafkasdk "github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	natssdk "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	goevent "github.com/cloudevents/sdk-go/v2/event"
	httpsdk "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/nats-io/nats.go"
)

// goSDK is the official SDK for Go.
type goSDK struct{}

func (goSDK) name() string { return "go" }

// reads is what the SDK is known to make of an event in binary mode. On NATS it does not undo the percent-encoding that the binding demands
// (cloudevents/sdk-go#1334).
func (goSDK) reads(s server, e event) event {
	if s.name() != "nats" {
		return e
	}
	return e.mapped(func(_, value string) string { return percentEncode(value) })
}

// writes is what the SDK is known to make of an event in binary mode. On NATS it does not percent-encode, so that what looks encoded is decoded.
func (goSDK) writes(s server, e event) event {
	if s.name() != "nats" {
		return e
	}
	return e.mapped(func(_, value string) string {
		return strings.NewReplacer("%20", " ", "%41", "A", "%2F", "/").Replace(value)
	})
}

func (goSDK) read(t *testing.T, s server, messages []wire) ([]event, error) {
	t.Helper()
	events := make([]event, len(messages))
	var refused []error
	for i, w := range messages {
		e, err := binding.ToEvent(t.Context(), goMessage(s, w))
		if err == nil {
			err = e.Validate()
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("the Go SDK can't read %q: %w", w.Headers, err))
			continue
		}
		events[i] = ofGo(e)
	}
	return events, errors.Join(refused...)
}

// goMessage is a message as the SDK's bindings see it.
func goMessage(s server, w wire) binding.Message {
	switch s.name() {
	case "kafka":
		headers := map[string][]byte{}
		for name, value := range w.Headers {
			headers[strings.ToLower(name)] = []byte(value)
		}
		return kafkasdk.NewMessage(w.Value, w.Headers["content-type"], headers)
	case "nats":
		m := &nats.Msg{Header: nats.Header{}, Data: w.Value}
		for name, value := range w.Headers {
			m.Header[name] = []string{value}
		}
		return natssdk.NewMessage(m)
	default:
		h := http.Header{}
		for name, value := range w.Headers {
			h.Set(name, value)
		}
		return httpsdk.NewMessage(h, io.NopCloser(bytes.NewReader(w.Value)))
	}
}

func ofGo(e *goevent.Event) event {
	got := event{map[string]string{}, e.Data()}
	for name, value := range map[string]string{
		"id": e.ID(), "source": e.Source(), "type": e.Type(), "subject": e.Subject(), "datacontenttype": e.DataContentType(), "dataschema": e.DataSchema(),
	} {
		if value != "" {
			got.Attributes[name] = value
		}
	}
	if !e.Time().IsZero() {
		got.Attributes["time"] = e.Time().Format(time.RFC3339Nano)
	}
	for name, value := range e.Extensions() {
		got.Attributes[name] = fmt.Sprint(value)
	}
	return got
}

func (goSDK) write(t *testing.T, s server, mode string, events []event) []wire {
	t.Helper()
	ctx := t.Context()
	if mode == structured {
		ctx = binding.WithForceStructured(ctx)
	}
	messages := make([]wire, len(events))
	for i, e := range events {
		w, err := writeGo(ctx, s, binding.ToMessage(toGo(t, e)))
		if err != nil {
			t.Fatalf("the Go SDK can't write %s: %v", e, err)
		}
		messages[i] = w
	}
	return messages
}

func toGo(t *testing.T, e event) *goevent.Event {
	t.Helper()
	made := goevent.New()
	for name, value := range e.Attributes {
		switch name {
		case "id":
			made.SetID(value)
		case "source":
			made.SetSource(value)
		case "type":
			made.SetType(value)
		case "subject":
			made.SetSubject(value)
		case "dataschema":
			made.SetDataSchema(value)
		case "time":
			at, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				t.Fatal(err)
			}
			made.SetTime(at)
		case "datacontenttype":
			if err := made.SetData(value, e.Data); err != nil {
				t.Fatal(err)
			}
		default:
			made.SetExtension(name, value)
		}
	}
	return &made
}

func writeGo(ctx context.Context, s server, m binding.Message) (wire, error) {
	w := wire{Headers: map[string]string{}}
	switch s.name() {
	case "kafka":
		var record sarama.ProducerMessage
		if err := kafkasdk.WriteProducerMessage(ctx, m, &record); err != nil {
			return w, err
		}
		for _, h := range record.Headers {
			w.Headers[string(h.Key)] = string(h.Value)
		}
		return w, encodeSarama(&record, &w)
	case "nats":
		var data bytes.Buffer
		headers, err := natssdk.WriteMsg(ctx, m, &data)
		for name, values := range headers {
			w.Headers[name] = values[0]
		}
		w.Value = data.Bytes()
		return w, err
	default:
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost", http.NoBody)
		if err != nil {
			return w, err
		}
		if err = httpsdk.WriteRequest(ctx, m, request); err != nil {
			return w, err
		}
		for name, values := range request.Header {
			w.Headers[strings.ToLower(name)] = values[0]
		}
		w.Value, err = io.ReadAll(request.Body)
		return w, err
	}
}

func encodeSarama(record *sarama.ProducerMessage, w *wire) error {
	if record.Key != nil {
		key, err := record.Key.Encode()
		if err != nil {
			return err
		}
		w.Key = string(key)
	}
	if record.Value == nil {
		return nil
	}
	var err error
	w.Value, err = record.Value.Encode()
	return err
}
