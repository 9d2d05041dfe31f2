package kafka

import "github.com/tidings-go/tidings/broker"

const (
	// idHeader carries a record's ID when it is not the CloudEvents id, which it nearly always is. It is the last header, and only
	// the last one is ours, so that users' headers of that name survive.
	idHeader = "tidings-id"
	ceID     = "ce-id"
)

// ownID reports whether r's ID needs a header of its own.
func ownID(r *broker.Record) bool {
	id, _ := r.Header(ceID)
	return id != r.ID || len(r.Headers) > 0 && r.Headers[len(r.Headers)-1].Name == idHeader
}

// sequence is the number that an offset has outside of this package. Offsets begin at 0, which means "nothing" there.
func sequence(offset int64) uint64 { return uint64(offset) + 1 }

// offset is the reverse of sequence.
func offset(sequence uint64) int64 { return int64(sequence) - 1 }
