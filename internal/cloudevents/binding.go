package cloudevents

// Binding maps canonical headers to those of a protocol and back, one by one. Headers that are no attributes pass unchanged. No mapping fails: what a
// foreign sender got wrong shows in [Decode], which names the attribute.
type Binding int

const (
	// Redis has no CloudEvents binding of its own: the fields of a stream entry are named as the canonical headers.
	Redis Binding = iota
	// NATS writes "ce-" headers with percent-encoded values, as the NATS protocol binding says; the content type is "ce-datacontenttype",
	// or "Content-Type" in structured mode. It reads names in any case.
	NATS
	// Kafka writes "ce_" headers with plain values and "content-type", as the Kafka protocol binding says. It reads names in any case.
	// An event without data has an empty value, not a null one, which would delete its key from a compacted topic.
	Kafka
)

// ToWire returns the protocol's form of a canonical header. Nothing is allocated for attributes that have a field in [Event] unless
// their value must be escaped, which values of tidings' own never must.
func (b Binding) ToWire(name, value string) (wireName, wireValue string) {
	switch b {
	case NATS:
		return toNATS(name, value)
	case Kafka:
		return toKafka(name), value
	default:
		return name, value
	}
}

// FromWire returns the canonical form of a protocol's header. It is the reverse of ToWire, and reads other spellings as well.
func (b Binding) FromWire(wireName, wireValue string) (name, value string) {
	switch b {
	case NATS:
		return fromNATS(wireName, wireValue)
	case Kafka:
		return fromKafka(wireName), wireValue
	default:
		return wireName, wireValue
	}
}
