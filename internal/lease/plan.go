package lease

import (
	"strings"
	"time"
)

// observe remembers when the others' beats were first seen.
func (m *member) observe(t table) {
	now := time.Now()
	for id, b := range t.Members {
		if s, ok := m.seen[id]; !ok || s.count != b.Count {
			m.seen[id] = sighting{count: b.Count, at: now}
		}
	}
	for id := range m.seen {
		if _, ok := t.Members[id]; !ok {
			delete(m.seen, id)
		}
	}
}

// plan works out the table that this member wants, and which names it claims in it. On the way it ends the leases that the
// table says are lost, and asks back what is more than this member's share.
func (m *member) plan(now table) (table, []*holding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	self, next := m.cfg.Member, now.clone()
	for id := range now.Members {
		foreign := m.cfg.Exclusive && !strings.HasPrefix(id, m.cfg.family)
		if id != self && (foreign || time.Since(m.seen[id].at) >= m.patience) {
			next.remove(id)
		}
	}
	if _, ok := next.Members[self]; !ok || m.leaving {
		next.Members[self] = beat{Count: m.count, Leaving: m.leaving}
	}
	m.reconcile(next)
	mine, quota := 0, next.quota(self, m.cfg.Names)
	for _, name := range m.cfg.Names {
		if next.Names[name].Owner == self {
			mine++
		}
	}
	m.shed(next, mine-quota)
	claims := m.claim(next, quota-mine)
	m.waiting = mine+len(claims) < quota
	return next, claims
}

// reconcile ends calls whose name has another owner by now, and frees the names of calls that have returned, and those
// that this member owns without knowing (it claimed them and the answer was lost).
func (m *member) reconcile(next table) {
	for name, h := range m.held {
		if e := next.Names[name]; e.Owner != m.cfg.Member || e.Epoch != h.epoch {
			h.lose(errTaken)
		}
		if h.over.IsZero() || (h.early && time.Since(h.over) < m.cfg.Poll/2) {
			continue
		}
		delete(m.held, name)
	}
	for name, e := range next.Names {
		if e.Owner != m.cfg.Member {
			continue
		}
		if h := m.held[name]; h == nil || h.epoch != e.Epoch || !h.over.IsZero() {
			next.Names[name] = entry{Epoch: e.Epoch}
		}
	}
}

// shed asks surplus calls to come to an end, less those that are about to anyway.
func (m *member) shed(next table, surplus int) {
	var keeping []*holding
	for _, name := range m.cfg.Names {
		if next.Names[name].Owner != m.cfg.Member {
			continue
		}
		if h := m.held[name]; h.stopped || h.lost {
			surplus--
		} else {
			keeping = append(keeping, h)
		}
	}
	for _, h := range keeping[:min(max(surplus, 0), len(keeping))] {
		h.halt()
	}
}

// claim takes up to free names that nobody has. A name whose call has not returned here, or only just, is left to others.
func (m *member) claim(next table, free int) []*holding {
	var claims []*holding
	for _, name := range m.cfg.Names {
		e := next.Names[name]
		if len(claims) >= free || m.leaving {
			break
		}
		if e.Owner != "" || m.held[name] != nil {
			continue
		}
		e = entry{Owner: m.cfg.Member, Epoch: e.Epoch + 1}
		next.Names[name] = e
		claims = append(claims, &holding{name: name, epoch: e.Epoch, stop: make(chan struct{})})
	}
	return claims
}
