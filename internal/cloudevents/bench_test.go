package cloudevents_test

import (
	"testing"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/internal/cloudevents"
)

func BenchmarkAppendHeaders(b *testing.B) {
	e := booking()
	dst := make([]broker.Header, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = cloudevents.AppendHeaders(dst[:0], &e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBinary(b *testing.B) {
	e := booking()
	headers, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cloudevents.Decode(headers, e.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStructured(b *testing.B) {
	e := booking()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := cloudevents.Structured(&e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeStructured(b *testing.B) {
	e := booking()
	headers, value, err := cloudevents.Structured(&e)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cloudevents.Decode(headers, value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPeekType(b *testing.B) {
	e := booking()
	binary, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil {
		b.Fatal(err)
	}
	headers, value, err := cloudevents.Structured(&e)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("binary", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			cloudevents.PeekType(binary, e.Data)
		}
	})
	b.Run("structured", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			cloudevents.PeekType(headers, value)
		}
	})
}

// BenchmarkBinding maps all headers of an event to the wire and back.
func BenchmarkBinding(b *testing.B) {
	e := booking()
	headers, err := cloudevents.AppendHeaders(nil, &e)
	if err != nil {
		b.Fatal(err)
	}
	for name, binding := range bindings {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, h := range headers {
					binding.FromWire(binding.ToWire(h.Name, h.Value))
				}
			}
		})
	}
}
