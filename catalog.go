package tidings

import (
	"cmp"
	"slices"
)

// Catalog is what an app knows: its events with their owners, topics and readers. It is a copy; it does not change.
type Catalog struct{ entries []Entry }

// Entry is one event in the catalog.
type Entry struct {
	Definition
	// Owner is the service or module that emits the event; empty when this app only reads it.
	Owner string
	// PublishTopic and ReadTopic are where the topology puts it.
	PublishTopic, ReadTopic string
	// Subscriptions are the groups of this app that react to it.
	Subscriptions []string
}

// Event is the entry's event, to subscribe to it without its package.
func (e Entry) Event() *Event[Raw] { return Named(e.Domain, e.Name, e.Version) }

// Catalog lists what the app's modules have declared so far.
func (a *App) Catalog() *Catalog {
	a.mu.Lock()
	defer a.mu.Unlock()
	var c Catalog
	for id, k := range a.cores {
		e := Entry{Definition: k.full.def}
		for _, m := range a.modules {
			if m.emits[id] {
				e.Owner = m.name
			}
			for _, s := range m.subs {
				if slices.ContainsFunc(s.reactions, func(r *reaction) bool { return r.event.def.identity() == id }) {
					e.Subscriptions = append(e.Subscriptions, s.group)
				}
			}
		}
		// Topics that can't be named stay empty here; Check reports why.
		e.PublishTopic, _ = a.publishTopic(e.Definition)
		e.ReadTopic, _ = a.readTopic(e.Definition)
		c.entries = append(c.entries, e)
	}
	slices.SortFunc(c.entries, func(x, y Entry) int { return cmp.Compare(x.identity(), y.identity()) })
	return &c
}

// All are all events, sorted by domain, name and version.
func (c *Catalog) All() []Entry { return slices.Clone(c.entries) }

// Events are the events of one domain.
func (c *Catalog) Events(domain string) []Entry {
	var found []Entry
	for _, e := range c.entries {
		if e.Domain == domain {
			found = append(found, e)
		}
	}
	return found
}

// Event finds one event.
func (c *Catalog) Event(domain, name, version string) (Entry, bool) {
	for _, e := range c.entries {
		if e.Domain == domain && e.Name == name && e.Version == version {
			return e, true
		}
	}
	return Entry{}, false
}
