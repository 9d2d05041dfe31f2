package cloudevents_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

// booking is an event as tidings publishes it.
func booking() cloudevents.Event {
	return cloudevents.Event{
		ID:            "01987ab3-5f10-7cc1-9d2c-0a4be7c8d1f2",
		Source:        "/tickets",
		Type:          "tickets.BookingMade.v1",
		Subject:       "6f9619ff-8b86-d011-b42d-00c04fc964ff",
		Time:          time.Date(2026, 3, 1, 12, 30, 15, 123456789, time.UTC),
		ContentType:   cloudevents.JSON,
		PartitionKey:  "acme|6f9619ff-8b86-d011-b42d-00c04fc964ff",
		CorrelationID: "01987ab3-5f10-7cc1-9d2c-0a4be7c8d1f2",
		CausationID:   "01987ab3-5f0e-7a52-8f1d-4b1be7c8d000",
		TraceParent:   "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Data:          []byte(`{"tenant_id":"acme","booking_id":"6f9619ff-8b86-d011-b42d-00c04fc964ff","seats":2}`),
	}
}

// minimal has only what is required.
func minimal() cloudevents.Event {
	return cloudevents.Event{ID: "minimal", Source: "https://cloudevents.io", Type: "io.cloudevents.test"}
}

// minimalHeaders are the canonical headers of minimal, and more.
func minimalHeaders(more ...broker.Header) []broker.Header {
	return append([]broker.Header{
		{Name: "ce-specversion", Value: "1.0"},
		{Name: "ce-id", Value: "minimal"},
		{Name: "ce-source", Value: "https://cloudevents.io"},
		{Name: "ce-type", Value: "io.cloudevents.test"},
	}, more...)
}

func with(e cloudevents.Event, change func(*cloudevents.Event)) cloudevents.Event {
	change(&e)
	return e
}

func wantEvent(t *testing.T, got cloudevents.Event, err error, want cloudevents.Event) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("event differs\n got %+v\nwant %+v", got, want)
	}
}

// wantAttributeError checks that err blames the attribute and says why.
func wantAttributeError(t *testing.T, err error, name, problem string) {
	t.Helper()
	wrong, ok := errors.AsType[*cloudevents.AttributeError](err)
	if !ok {
		t.Fatalf("got %v, want an AttributeError for %q", err, name)
	}
	if wrong.Name != name || !strings.Contains(wrong.Problem, problem) {
		t.Fatalf("got %v, want attribute %q which %q", err, name, problem)
	}
}

func TestAttributeErrorNamesAttributeValueAndProblem(t *testing.T) {
	for want, err := range map[string]*cloudevents.AttributeError{
		`cloudevents: attribute "time": "2026-1-1" is not an RFC 3339 time`: {Name: "time", Value: "2026-1-1", Problem: "is not an RFC 3339 time"},
		`cloudevents: attribute "id" is missing`:                            {Name: "id", Problem: "is missing"},
		`cloudevents: attribute "x": "` + strings.Repeat("y", 100) + `"… is long`: {
			Name: "x", Value: strings.Repeat("y", 5000), Problem: "is long",
		},
	} {
		if err.Error() != want {
			t.Errorf("got %s, want %s", err.Error(), want)
		}
	}
}
