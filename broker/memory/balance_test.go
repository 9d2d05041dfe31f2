package memory

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidings-go/tidings/broker"
)

// TestSharesAreFair lets members of a group come, go and die, each with some of three topics, and give back what they are asked
// for, in any order. When nothing is left to give back, every partition that somebody reads must have an owner who reads its
// topic, and the shares must be as equal as they can be.
func TestSharesAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newGroupMachine()
		t.Repeat(map[string]func(*rapid.T){
			"join":     g.join,
			"leave":    func(t *rapid.T) { g.s.leave(g.pickMember(t)) },
			"die":      func(t *rapid.T) { g.s.expel(g.pickMember(t)) },
			"giveBack": g.giveBack,
			"":         g.check,
		})
	})
}

// groupMachine is a server with topics of 1, 3 and 8 partitions, and one group whose members do nothing by themselves.
type groupMachine struct {
	s       *server
	topics  []*topic
	group   *group
	started []*hold // whose function runs
}

func newGroupMachine() *groupMachine {
	g := &groupMachine{s: newServer(Config{Retain: defaultRetain})}
	for name, partitions := range map[string]int{"one": 1, "three": 3, "eight": 8} {
		g.topics = append(g.topics, g.s.create(broker.Topic{Name: name, Partitions: partitions}))
	}
	slices.SortFunc(g.topics, func(a, b *topic) int { return len(a.partitions) - len(b.partitions) })
	g.group = &group{}
	g.s.groups["group"] = g.group
	return g
}

func (g *groupMachine) join(t *rapid.T) {
	topics := rapid.SliceOfNDistinct(rapid.SampledFrom(g.topics), 1, 3, rapid.ID).Draw(t, "topics")
	g.s.join(topics, broker.Reader{Group: "group"})
}

func (g *groupMachine) pickMember(t *rapid.T) *member {
	if len(g.group.members) == 0 {
		t.Skip("nobody is there")
	}
	return rapid.SampledFrom(g.group.members).Draw(t, "member")
}

// giveBack returns from the function of a hold, which may have been asked to or not, or be dead already.
func (g *groupMachine) giveBack(t *rapid.T) {
	if len(g.started) == 0 {
		t.Skip("nothing runs")
	}
	h := rapid.SampledFrom(g.started).Draw(t, "hold")
	g.started = without(g.started, h)
	g.s.release(h)
}

func (g *groupMachine) check(t *rapid.T) {
	for _, m := range g.group.members {
		g.started = append(g.started, g.s.take(m)...)
	}
	asked := slices.ContainsFunc(g.started, func(h *hold) bool { return h.state == draining })
	loads := make(load)
	for _, u := range g.group.units {
		if u.want != nil {
			loads.add(u.want, u.topic, 1)
		}
		if u.owner != nil && u.owner.state == lost {
			t.Fatalf("%s/%d is owned by somebody who lost it", u.topic.name, u.partition.number)
		}
		read := g.group.idlest(u.topic, nil) != nil
		if !asked && read != (u.owner != nil && u.owner.member == u.want && u.owner.state == owned) {
			t.Fatalf("%s/%d is read: %t; its owner: %+v", u.topic.name, u.partition.number, read, u.owner)
		}
	}
	for _, u := range g.group.units {
		if m := g.group.idlest(u.topic, loads); m != nil && lighter(loads.of(m, u.topic), loads.of(u.want, u.topic)) {
			t.Fatalf("%s: one member has %+v and another %+v", u.topic.name, loads.of(u.want, u.topic), loads.of(m, u.topic))
		}
	}
}
