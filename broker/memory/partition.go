package memory

import (
	"sort"

	"github.com/tidings-go/tidings/broker"
)

// segmentSize is how many records are allocated and dropped together.
const segmentSize = 64

type segment [segmentSize]broker.Delivery

// partition is an ordered sequence of deliveries. The lock of its topic guards it.
type partition struct {
	number int
	retain int

	segments []*segment
	first    uint64 // the sequence of the oldest record: the first place in the first segment
	next     uint64 // the sequence that the next record gets; sequences start at 1, so that a settlement of 0 settles nothing

	cursors map[string]*cursor // by group
	readers []*hold            // who fetches from here now
}

// cursor is a group's position: everything below next is settled.
type cursor struct{ next uint64 }

func newPartition(number, retain int) *partition {
	return &partition{number: number, retain: retain, first: 1, next: 1, cursors: make(map[string]*cursor)}
}

// push makes room for one more record, which the caller fills in.
func (p *partition) push() *broker.Delivery {
	place := p.next - p.first
	if place%segmentSize == 0 {
		p.trim()
		place = p.next - p.first
		p.segments = append(p.segments, new(segment))
	}
	p.next++
	return &p.segments[place/segmentSize][place%segmentSize]
}

func (p *partition) at(sequence uint64) *broker.Delivery {
	place := sequence - p.first
	return &p.segments[place/segmentSize][place%segmentSize]
}

// holds reports whether the record at sequence has that ID and was not dropped.
func (p *partition) holds(sequence uint64, id string) bool {
	return sequence >= p.first && p.at(sequence).ID == id
}

func (p *partition) len() int { return int(p.next - p.first) }

// trim drops whole segments that are beyond what is retained and that nobody needs any more.
func (p *partition) trim() {
	if p.len() < p.retain+segmentSize {
		return
	}
	needed := p.needed()
	for p.len() >= p.retain+segmentSize && p.first+segmentSize <= needed {
		p.segments[0] = nil
		p.segments = p.segments[1:]
		p.first += segmentSize
	}
}

// needed is the smallest sequence that some group has not settled or some reader not fetched.
func (p *partition) needed() uint64 {
	needed := p.next
	for _, c := range p.cursors {
		needed = min(needed, c.next)
	}
	for _, h := range p.readers {
		if h.unit == nil { // What a group's reader needs, its cursor says.
			needed = min(needed, h.read)
		}
	}
	return needed
}

// start is the sequence at which from begins.
func (p *partition) start(from broker.Start) uint64 {
	switch {
	case from.Latest:
		return p.next
	case from.At.IsZero():
		return p.first
	default:
		n := sort.Search(p.len(), func(i int) bool {
			return !p.at(p.first + uint64(i)).Time.Before(from.At)
		})
		return p.first + uint64(n)
	}
}

// cursor is the position of a group, which is made if the group is new here.
func (p *partition) cursor(group string, from broker.Start) *cursor {
	c, ok := p.cursors[group]
	if !ok {
		c = &cursor{next: p.start(from)}
		p.cursors[group] = c
	}
	return c
}

// lag is the number of records that a group has not settled; a group that never read has settled none.
func (p *partition) lag(group string) uint64 {
	if c, ok := p.cursors[group]; ok {
		return p.next - c.next
	}
	return p.next - p.first
}

func (p *partition) wakeReaders() {
	for _, h := range p.readers {
		if h.waiting && h.read < p.next {
			h.wakeUp()
		}
	}
}
