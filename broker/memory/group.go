package memory

import (
	"slices"

	"github.com/tidings-go/tidings/broker"
)

// group is all calls of Consume with one group name. The server's lock guards it and its members and units.
type group struct {
	members []*member // in the order in which they joined
	units   []*unit
}

// unit is one partition of a topic as a group sees it.
type unit struct {
	topic     *topic
	partition *partition
	cursor    *cursor
	want      *member // who is to have it
	owner     *hold   // who has it
}

// member is one call of Consume.
type member struct {
	group  *group // nil without one
	topics []*topic
	wake   chan struct{} // there is something to take

	holds   []*hold // what it has
	pending []*hold // what of that its Consume has not taken yet
}

func newMember(topics []*topic) *member { return &member{topics: topics, wake: make(chan struct{}, 1)} }

// join adds a member to r's group, and shares the partitions anew.
func (s *server) join(topics []*topic, r broker.Reader) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.groups[r.Group]
	if !ok {
		g = &group{}
		s.groups[r.Group] = g
	}
	for _, t := range topics {
		g.admit(t, r)
	}
	m := newMember(topics)
	m.group = g
	g.members = append(g.members, m)
	g.balance(s)
	return m
}

// admit makes the units of the partitions of a topic that are new to the group.
func (g *group) admit(t *topic, r broker.Reader) {
	known := 0
	for _, u := range g.units {
		if u.topic == t {
			known++
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	from := r.From
	if known > 0 {
		from = broker.Start{} // what was published since they were added is not to be missed
	}
	for _, p := range t.partitions[known:] {
		g.units = append(g.units, &unit{topic: t, partition: p, cursor: p.cursor(r.Group, from)})
	}
}

// readAll makes a member without a group, which has every partition for itself.
func (s *server) readAll(topics []*topic, r broker.Reader) *member {
	m := newMember(topics)
	for _, t := range topics {
		t.mu.Lock()
		for _, p := range t.partitions {
			h := s.newHold(m, t, p)
			h.read = p.start(r.From)
			if r.ToEnd {
				h.end = p.next
			}
			p.readers = append(p.readers, h)
		}
		t.mu.Unlock()
	}
	return m
}

func (s *server) newHold(m *member, t *topic, p *partition) *hold {
	h := &hold{server: s, topic: t, partition: p, member: m, wake: make(chan struct{}, 1)}
	m.holds = append(m.holds, h)
	m.pending = append(m.pending, h)
	return h
}

// take returns what its Consume is to start for m.
func (s *server) take(m *member) []*hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	pending := m.pending
	m.pending = nil
	return pending
}

// release ends a hold whose function has returned, and lets the next owner begin.
func (s *server) release(h *hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.member.holds = without(h.member.holds, h)
	h.detach()
	if h.unit == nil || h.unit.owner != h {
		return
	}
	h.unit.owner = nil
	h.unit.settleOwner(s)
}

// leave takes nothing from m that runs, but asks for all of it.
func (s *server) leave(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range m.pending {
		m.drop(h)
	}
	m.pending = nil
	for _, h := range m.holds {
		h.drain()
	}
	m.quit(s)
}

// expel takes everything from m at once.
func (s *server) expel(m *member) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range slices.Clone(m.holds) {
		m.drop(h)
	}
	m.pending = nil
	m.quit(s)
}

// drop ends a hold before its function has returned.
func (m *member) drop(h *hold) {
	m.holds = without(m.holds, h)
	h.detach()
	if h.cancel != nil {
		h.cancel()
	}
	if h.unit != nil {
		h.unit.owner = nil
	}
}

// quit removes m from its group, and shares the partitions anew.
func (m *member) quit(s *server) {
	if m.group == nil {
		return
	}
	m.group.members = without(m.group.members, m)
	m.group.balance(s)
}

// settleOwner starts the wanted owner if there is no other, and asks another to give the partition back.
func (u *unit) settleOwner(s *server) {
	switch {
	case u.owner == nil && u.want == nil:
	case u.owner != nil && u.owner.member != u.want:
		u.owner.drain()
	case u.owner == nil:
		h := s.newHold(u.want, u.topic, u.partition)
		h.unit, h.cursor = u, u.cursor
		h.attach()
		u.owner = h
		select {
		case u.want.wake <- struct{}{}:
		default:
		}
	}
}
