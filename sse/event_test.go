package sse_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tidings-go/tidings/sse"
)

func TestRead(t *testing.T) {
	for _, test := range []struct {
		name, stream string
		want         []sse.Event
	}{
		{"one", "id: 1\nevent: booking\ndata: {}\n\n", []sse.Event{{ID: "1", Name: "booking", Data: []byte("{}")}}},
		{"several lines of data", "data: a\ndata\ndata: b\n\n", []sse.Event{{Data: []byte("a\n\nb")}}},
		{"line ends", "data: a\r\ndata: b\rdata: c\n\r\n", []sse.Event{{Data: []byte("a\nb\nc")}}},
		{"byte order mark", "\ufeffdata: a\n\n", []sse.Event{{Data: []byte("a")}}},
		{"one space", "data:  a\ndata:b\n\n", []sse.Event{{Data: []byte(" a\nb")}}},
		{"comments and unknown fields", ": hello\nretry: 5\nother: x\ndata: a\n\n", []sse.Event{{Data: []byte("a")}}},
		{"the id stays", "id: 1\ndata: a\n\ndata: b\n\n", []sse.Event{{ID: "1", Data: []byte("a")}, {ID: "1", Data: []byte("b")}}},
		{"an id with NUL is ignored", "id: a\x00\ndata: a\n\n", []sse.Event{{Data: []byte("a")}}},
		{"no data, no event", "event: x\n\ndata: a\n\n", []sse.Event{{Data: []byte("a")}}},
		{"cut short", "data: a\n\ndata: b\n", []sse.Event{{Data: []byte("a")}}},
		{"cut short in a line", "data: a\n\ndata: b", []sse.Event{{Data: []byte("a")}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(test.stream), iotest.OneByteReader(strings.NewReader(test.stream))} {
				got, err := readAll(r)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.EqualFunc(got, test.want, equal) {
					t.Errorf("got %q, want %q", got, test.want)
				}
			}
		})
	}
}

func TestReadReportsTheStreamsError(t *testing.T) {
	broken := errors.New("broken")
	got, err := readAll(io.MultiReader(strings.NewReader("data: a\n\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || len(got) != 1 {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := readAll(strings.NewReader("data: " + strings.Repeat("x", 2<<20))); err == nil {
		t.Error("a line without end was read")
	}
}

func TestImpossibleEventsAreRefused(t *testing.T) {
	for _, e := range []sse.Event{
		{ID: "a\nb", Data: []byte("x")},
		{ID: "a\x00", Data: []byte("x")},
		{Name: "a\rb", Data: []byte("x")},
		{ID: "a"},
		{Data: []byte{0xff}},
	} {
		if err := sse.New(sse.Config{}).Publish(e.ID, e.Name, e.Data); err == nil {
			t.Errorf("%+v was published", e)
		}
	}
}

// FuzzRead feeds the reader anything, in one piece and in single bytes: both must give the same.
func FuzzRead(f *testing.F) {
	f.Add([]byte("id: 1\nevent: x\ndata: a\r\n\r\n"))
	f.Add([]byte("\ufeff:\n\ndata\n\n"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, err1 := readAll(bytes.NewReader(stream))
		pieces, err2 := readAll(iotest.OneByteReader(bytes.NewReader(stream)))
		if (err1 == nil) != (err2 == nil) || !slices.EqualFunc(whole, pieces, equal) {
			t.Errorf("whole %q, %v; in pieces %q, %v", whole, err1, pieces, err2)
		}
	})
}

// FuzzPublish sends anything through a hub: what is published is what is read, with line ends made equal.
func FuzzPublish(f *testing.F) {
	f.Add("1", "booking", "a\r\nb\rc\n")
	f.Add("", "", ": x")
	f.Fuzz(func(t *testing.T, id, name, data string) {
		hub := sse.New(sse.Config{})
		if hub.Publish(id, name, []byte(data)) != nil {
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := newRecorder()
		done := serve(ctx, hub, w, "")
		w.waitFor(t, ": connected")
		if err := hub.Publish(id, name, []byte(data)); err != nil {
			t.Fatal(err)
		}
		hub.Close()
		<-done
		want := sse.Event{ID: id, Name: name, Data: []byte(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data))}
		got, err := readAll(strings.NewReader(w.text()))
		if err != nil || len(got) > 1 || (len(got) == 1 && !equal(got[0], want)) {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	})
}

func equal(a, b sse.Event) bool {
	return a.ID == b.ID && a.Name == b.Name && bytes.Equal(a.Data, b.Data)
}

func readAll(r io.Reader) ([]sse.Event, error) {
	var events []sse.Event
	for e, err := range sse.Read(r) {
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
	return events, nil
}
