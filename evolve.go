package tidings

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// Evolve defines the next version of an event, with the function that makes a new payload of an old one:
//
//	var Created2 = tidings.Evolve(Created1, "v2", func(old OrderCreatedV1) (OrderCreatedV2, error) {
//		return OrderCreatedV2{OrderID: old.OrderID, Currency: "EUR"}, nil
//	})
//
// A reaction to the new version then also handles messages of the older ones, wherever they come from: the topics of all versions are read. [MessageFrom] has the message as it came.
// Where the subscription has a reaction to the older version too, that one handles it. Evolve composes: v3 of v2 of v1 handles all three, as there are no gaps and
// no circles. An error of lift, and a panic, sends the message to the dead letters.
//
// Scope, entity, names in the topic and codec are the older version's where no option says otherwise; the version in the topic's name becomes the new one, unless the
// older event has set it. Key and payload are the new type's own.
func Evolve[Old, New any](older *Event[Old], version string, lift func(Old) (New, error), options ...Option) *Event[New] {
	c := core{def: Definition{Version: version, Where: callerAt(0)}, codec: JSON{}}
	if older == nil || older.c.codec == nil {
		c.mistake("evolves from an event that is nil or empty: make it with Define or Evolve")
		return define[New](c, options)
	}
	c.def, c.codec, c.older = older.c.def, older.c.codec, &older.c
	c.def.Version, c.def.Where = version, callerAt(0)
	c.def.WireType, c.def.Plain, c.def.Key, c.def.Older = "", false, nil, older.c.def.identity()
	if older.c.def.TopicVersion == older.c.def.Version {
		c.def.TopicVersion = version
	}
	if number(version) <= number(older.c.def.Version) {
		c.mistake("version %q is not newer than %q, which it evolves from", version, older.c.def.Version)
	}
	if older.c.named || older.c.any {
		c.mistake("evolves from an event that is only known by name: its payload has no type")
	}
	if lift == nil {
		c.mistake("the function that makes a new payload of an old one is nil")
	}
	e := define[New](c, options)
	e.lifted = func(m *Message) (payload New, err error) {
		old, err := older.read(m)
		if err != nil {
			return payload, err
		}
		if payload, err = lift(old); err != nil {
			return payload, DeadLetter(fmt.Errorf("tidings: message %s: make a %s of a %s: %w", m.ID, e.c.def.Type(), older.c.def.Type(), err))
		}
		return payload, nil
	}
	return e
}

// number is the number in a version; 0 when there is none, which is reported elsewhere.
func number(version string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(version, "v"))
	if err != nil {
		return 0
	}
	return n
}

// evolvedFrom reports whether the event evolves, over any number of versions, from the one with that type.
func (c *core) evolvedFrom(typ string) bool {
	for older := c.older; older != nil; older = older.older {
		if older.def.Type() == typ {
			return true
		}
	}
	return false
}

// versions are the event and those that it evolves from, newest first.
func (c *core) versions() []*core {
	var all []*core
	for ; c != nil; c = c.older {
		all = append(all, c)
	}
	return all
}

// versionTable says which reaction handles which type: the reaction to exactly it, or the one to the next newer version that evolves from it.
type versionTable struct {
	byType map[string]*reaction
	// clashes are types that two reactions would have to handle.
	clashes []clash
}

type clash struct {
	typ        string
	one, other *reaction
}

// versionsOf makes the table of the reactions of one subscription or listener. A reaction to Any is not in it.
func (a *App) versionsOf(reactions []*reaction) versionTable {
	exact := map[string]*reaction{}
	for _, r := range reactions {
		if !r.event.any {
			exact[a.definition(r.event).Type()] = r
		}
	}
	t := versionTable{byType: maps.Clone(exact)}
	for _, r := range reactions {
		for older := r.event.older; older != nil; older = older.older {
			typ := older.def.Type()
			if exact[typ] != nil {
				break // which handles what is older still
			}
			if other := t.byType[typ]; other != nil {
				t.clashes = append(t.clashes, clash{typ, other, r})
				break
			}
			t.byType[typ] = r
		}
	}
	return t
}

// several reports whether two versions of one event are in the table.
func (t *versionTable) several() bool {
	seen := map[string]bool{}
	for _, r := range t.byType {
		name := r.event.def.Domain + "." + r.event.def.Name
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}
