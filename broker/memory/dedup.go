package memory

// dedupWindow is how many of a topic's last IDs are remembered at least; at most twice as many are.
const dedupWindow = 8192

// dedup remembers where the records of the last IDs were stored. It has two generations: when the younger is full, the older
// is forgotten, which costs nothing per record.
type dedup struct{ young, old map[string]result }

func (d *dedup) find(id string) (result, bool) {
	if id == "" {
		return result{}, false
	}
	if r, ok := d.young[id]; ok {
		return r, true
	}
	r, ok := d.old[id]
	return r, ok
}

func (d *dedup) add(id string, r result) {
	if id == "" {
		return
	}
	if len(d.young) >= dedupWindow {
		clear(d.old)
		d.young, d.old = d.old, d.young
	}
	if d.young == nil {
		d.young = make(map[string]result)
	}
	d.young[id] = r
}
