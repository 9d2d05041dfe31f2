package tidings_test

import (
	"encoding/xml"
	"fmt"

	"github.com/tidings-go/tidings"
)

// Options change where an event's messages are published, and under which type.
func ExampleOption() {
	show := func(options ...tidings.Option) {
		d := tidings.Define[SeatsBooked]("box", "SeatsBooked", "v2", options...).Definition()
		topic, err := tidings.Scoped{Env: "prod"}.PublishTopic("box", d)
		fmt.Println(topic, d.Type(), err)
	}
	show()
	show(tidings.Internal)
	show(tidings.Entity("seat"))
	show(tidings.Entity("seating"), tidings.Singular())
	show(tidings.TopicDomain("theatre"), tidings.TopicVersion("v1"))
	show(tidings.Topic("legacy-seats"), tidings.WireType("seats.booked"))
	// Output:
	// prod.box.public.boxes.v2 box.SeatsBooked.v2 <nil>
	// prod.box.internal.boxes.v2 box.SeatsBooked.v2 <nil>
	// prod.box.public.seats.v2 box.SeatsBooked.v2 <nil>
	// prod.box.public.seating.v2 box.SeatsBooked.v2 <nil>
	// prod.theatre.public.boxes.v1 box.SeatsBooked.v2 <nil>
	// prod.box.public.legacy-seats.v2 seats.booked <nil>
}

// A topic that others fill with bare JSON is read like any other.
func ExamplePlain() {
	old := tidings.Define[SeatsBooked]("box", "SeatsBooked", "v1", tidings.Topic("legacy.seats"), tidings.Plain())
	topic, err := tidings.Fixed{}.SubscribeTopic("box", old.Definition())
	fmt.Println(topic, old.Definition().Plain, err)
	// Output: legacy.seats true <nil>
}

// xmlCodec is a codec.
type xmlCodec struct{}

func (xmlCodec) Encode(payload any) ([]byte, error)    { return xml.Marshal(payload) }
func (xmlCodec) Decode(data []byte, payload any) error { return xml.Unmarshal(data, payload) }
func (xmlCodec) ContentType() string                   { return "application/xml" }

// A contract that is not JSON brings its codec.
func ExampleWithCodec() {
	inXML := tidings.Define[SeatsBooked]("box", "SeatsBooked", "v1", tidings.WithCodec(xmlCodec{}))
	m := inXML.New(SeatsBooked{Show: "Hamlet", Seats: 2})
	fmt.Println(m.ContentType, string(m.Data))
	payload, err := inXML.Decode(m.Data)
	fmt.Println(payload.Show, payload.Seats, err)
	// Output:
	// application/xml <SeatsBooked><Show>Hamlet</Show><Seats>2</Seats></SeatsBooked>
	// Hamlet 2 <nil>
}

// What an archive has is read as a reaction would have handled it: old versions are lifted, and a fact that was told twice counts once.
func ExampleEvent_Reads() {
	archive := []tidings.Message{booked.New(SeatsBooked{"Hamlet", 2})}
	archive = append(archive, tidings.Twins(booked2.New(SeatsBookedV2{"Macbeth", []string{"A"}}), booked.New(SeatsBooked{"Macbeth", 1}))...)
	fmt.Println(booked2.Types())
	for _, m := range archive {
		if booked2.Reads(m) {
			payload, err := booked2.In(m)
			fmt.Println(payload, err)
		}
	}
	// Output:
	// [box.SeatsBooked.v2 box.SeatsBooked.v1]
	// {Hamlet [? ?]} <nil>
	// {Macbeth [A]} <nil>
}
