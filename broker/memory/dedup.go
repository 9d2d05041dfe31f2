package memory

import "hash/maphash"

// dedupWindow is how many of a topic's last IDs are remembered at least; at most twice as many are.
const dedupWindow = 8192

// dedup remembers where the records of the last IDs are. It knows only a hash of each, so that it is small and holds no
// pointers: who asks compares the ID with that of the record. It has two generations: when the younger is full, the older is
// forgotten, which costs nothing per record.
type dedup struct {
	seed       maphash.Seed
	young, old map[uint64]place
}

// place is where a record is.
type place struct {
	partition int32
	sequence  uint64
}

func newDedup() dedup {
	return dedup{seed: maphash.MakeSeed(), young: make(map[uint64]place), old: make(map[uint64]place)}
}

func (d *dedup) hash(id string) uint64 { return maphash.String(d.seed, id) }

func (d *dedup) find(hash uint64) (place, bool) {
	if at, ok := d.young[hash]; ok {
		return at, true
	}
	at, ok := d.old[hash]
	return at, ok
}

func (d *dedup) add(hash uint64, at place) {
	if len(d.young) >= dedupWindow {
		clear(d.old)
		d.young, d.old = d.old, d.young
	}
	d.young[hash] = at
}
