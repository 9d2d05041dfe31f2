package memory

import "slices"

// share counts what a member is to have: of one topic, and of all.
type share struct{ topic, all int }

// load is the shares of all members while a group is balanced.
type load map[*member]map[*topic]int

func (l load) add(m *member, t *topic, n int) {
	if l[m] == nil {
		l[m] = make(map[*topic]int)
	}
	l[m][t] += n
	l[m][nil] += n
}

func (l load) of(m *member, t *topic) share { return share{topic: l[m][t], all: l[m][nil]} }

// lighter reports whether a partition moved from b to a would make the shares more equal: first those of its topic, then all.
func lighter(a, b share) bool {
	if a.topic == b.topic-1 {
		return a.all < b.all-1
	}
	return a.topic < b.topic-1
}

// balance decides anew who is to have which partition, and moves as few as possible: a member keeps what it has up to its
// fair share.
func (g *group) balance(s *server) {
	loads := make(load)
	for _, u := range g.units {
		if u.want != nil && !slices.Contains(g.members, u.want) {
			u.want = nil
		}
		if u.want != nil {
			loads.add(u.want, u.topic, 1)
		}
	}
	for _, u := range g.units {
		if u.want == nil {
			if u.want = g.idlest(u.topic, loads); u.want != nil {
				loads.add(u.want, u.topic, 1)
			}
		}
	}
	for g.moveOne(loads) {
	}
	for _, u := range g.units {
		u.settleOwner(s)
	}
}

// moveOne moves one partition to a member that has too little, and reports whether there was one. Each move makes the shares
// more equal, so there is a last one.
func (g *group) moveOne(loads load) bool {
	for _, u := range slices.Backward(g.units) {
		if u.want == nil {
			continue
		}
		m := g.idlest(u.topic, loads)
		if !lighter(loads.of(m, u.topic), loads.of(u.want, u.topic)) {
			continue
		}
		loads.add(u.want, u.topic, -1)
		loads.add(m, u.topic, 1)
		u.want = m
		return true
	}
	return false
}

// idlest is the member that reads t and has the smallest share; of equals the one that joined first. It is nil if none reads t.
func (g *group) idlest(t *topic, loads load) *member {
	var best *member
	for _, m := range g.members {
		if !slices.Contains(m.topics, t) {
			continue
		}
		if best == nil {
			best = m
			continue
		}
		a, b := loads.of(m, t), loads.of(best, t)
		if a.topic < b.topic || a.topic == b.topic && a.all < b.all {
			best = m
		}
	}
	return best
}
