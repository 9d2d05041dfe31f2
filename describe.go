package tidings

import (
	"cmp"
	"maps"
	"slices"
)

// Description is what an app consists of, as plain data for tools: modules, events, subscriptions, requests and topics, and how they hang together. It encodes as
// JSON with names that stay, and everything in it is sorted, so that it can be kept in a file and compared.
type Description struct {
	Service string `json:"service"`
	// Owns are the domains that belong to the service: its own, those of Config.Owns, and its modules.
	Owns []string `json:"owns"`
	// Remote says that requests go between processes.
	Remote bool `json:"remote,omitempty"`
	// Modules are in the order of their start. The service itself is one of them.
	Modules       []DescribedModule       `json:"modules"`
	Events        []DescribedEvent        `json:"events,omitempty"`
	Subscriptions []DescribedSubscription `json:"subscriptions,omitempty"`
	Listeners     []DescribedListener     `json:"listeners,omitempty"`
	Requests      []DescribedRequest      `json:"requests,omitempty"`
	Topics        []DescribedTopic        `json:"topics,omitempty"`
}

// DescribedModule is one module. What it emits, serves and calls are types, such as "tickets.BookingMade.v1".
type DescribedModule struct {
	Name          string   `json:"name"`
	DependsOn     []string `json:"depends_on,omitempty"`
	Emits         []string `json:"emits,omitempty"`
	Subscriptions []string `json:"subscriptions,omitempty"`
	Serves        []string `json:"serves,omitempty"`
	Calls         []string `json:"calls,omitempty"`
}

// DescribedEvent is one version of one event that the app emits or reads.
type DescribedEvent struct {
	Type    string `json:"type"`
	Domain  string `json:"domain"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// Scope is "public" or "internal".
	Scope string `json:"scope"`
	// Owners are the modules that emit it. None: another service does.
	Owners []string `json:"owners,omitempty"`
	// Key lists the JSON paths of the fields that messages are ordered by.
	Key []string `json:"key,omitempty"`
	// Older is the type of the version that it evolves from.
	Older string `json:"older,omitempty"`
	// PublishTopic and ReadTopic are where it goes and where it is read. Empty: the topology has no place for it, as Check says.
	PublishTopic string `json:"publish_topic,omitempty"`
	ReadTopic    string `json:"read_topic,omitempty"`
}

// DescribedReaction says how an event is handled: "On", "OnTx", "OnBatch" or "OnBatchTx". An event "any" stands for all on the subscription's topics.
type DescribedReaction struct {
	Event string `json:"event"`
	Verb  string `json:"verb"`
	// Older are the types of older versions that the reaction handles too.
	Older []string `json:"older,omitempty"`
}

// DescribedSubscription is one durable reader.
type DescribedSubscription struct {
	Name      string              `json:"name"`
	Group     string              `json:"group"`
	Module    string              `json:"module"`
	Reactions []DescribedReaction `json:"reactions"`
	Topics    []string            `json:"topics"`
	// OnFailure is "park", "block" or "hold-key".
	OnFailure string `json:"on_failure"`
	Unordered bool   `json:"unordered,omitempty"`
}

// DescribedListener is one ephemeral reader.
type DescribedListener struct {
	Module    string              `json:"module"`
	Queue     string              `json:"queue,omitempty"`
	Reactions []DescribedReaction `json:"reactions"`
}

// DescribedRequest is a request that a module serves or says that it calls.
type DescribedRequest struct {
	Type  string `json:"type"`
	Scope string `json:"scope"`
	// Provider is the module that answers, with the verb "Serve", "Handle" or "HandleTx". Empty: another process does.
	Provider string   `json:"provider,omitempty"`
	Verb     string   `json:"verb,omitempty"`
	Callers  []string `json:"callers,omitempty"`
}

// DescribedTopic is a topic that the app publishes to or reads from.
type DescribedTopic struct {
	Name string `json:"name"`
	// Publishers are modules, Readers are the groups of subscriptions.
	Publishers []string `json:"publishers,omitempty"`
	Readers    []string `json:"readers,omitempty"`
	// Partitions, Retention ("168h0m0s"), Replication and MaxBytes are left out where the broker's default holds.
	Partitions  int    `json:"partitions,omitempty"`
	Retention   string `json:"retention,omitempty"`
	Replication int    `json:"replication,omitempty"`
	MaxBytes    int64  `json:"max_bytes,omitempty"`
	Compact     bool   `json:"compact,omitempty"`
	External    bool   `json:"external,omitempty"`
}

// Describe describes the app. It needs neither broker nor store, and calls the Discover functions if Run has not done so yet; an error is theirs.
func (a *App) Describe() (Description, error) {
	if err := a.discover(); err != nil {
		return Description{}, err
	}
	a.mu.Lock()
	modules := slices.Clone(a.modules)
	a.mu.Unlock()
	order, _ := startOrder(modules)
	d := Description{Service: a.cfg.Service, Owns: slices.Clone(a.cfg.Owns), Remote: a.cfg.Remote}
	for _, m := range order {
		d.Owns = append(d.Owns, m.name)
		d.Modules = append(d.Modules, describeModule(a, m))
		for _, s := range m.subs {
			d.Subscriptions = append(d.Subscriptions, describeSubscription(a, s))
		}
		for _, l := range m.listeners {
			d.Listeners = append(d.Listeners, DescribedListener{Module: m.name, Queue: l.Queue, Reactions: describeReactions(a, l.reactions)})
		}
	}
	d.Owns = unique(d.Owns)
	slices.SortFunc(d.Subscriptions, func(x, y DescribedSubscription) int { return cmp.Compare(x.Name, y.Name) })
	slices.SortStableFunc(d.Listeners, func(x, y DescribedListener) int {
		return cmp.Or(cmp.Compare(x.Module, y.Module), cmp.Compare(x.Queue, y.Queue))
	})
	d.Events = describeEvents(a, order)
	d.Requests = describeRequests(order)
	d.Topics = describeTopics(a, d.Events)
	return d, nil
}

func describeModule(a *App, m *Module) DescribedModule {
	d := DescribedModule{Name: m.name, DependsOn: unique(m.dependsOn)}
	for _, c := range m.emitted {
		d.Emits = append(d.Emits, a.definition(c).Type())
	}
	for _, s := range m.subs {
		d.Subscriptions = append(d.Subscriptions, s.Name)
	}
	for _, e := range m.served {
		d.Serves = append(d.Serves, e.request.def.Type())
	}
	for _, c := range m.calls {
		d.Calls = append(d.Calls, c.request.def.Type())
	}
	d.Emits, d.Subscriptions, d.Serves, d.Calls = unique(d.Emits), unique(d.Subscriptions), unique(d.Serves), unique(d.Calls)
	return d
}

func describeSubscription(a *App, s *subscriber) DescribedSubscription {
	d := DescribedSubscription{
		Name: s.Name, Group: s.group, Module: s.module.name, Unordered: s.Unordered, OnFailure: s.OnFailure.String(),
		Reactions: describeReactions(a, s.reactions),
	}
	topics, err := a.readTopics(s)
	if err == nil { // otherwise Check says what is wrong
		d.Topics = unique(topics)
	}
	return d
}

func describeReactions(a *App, reactions []*reaction) []DescribedReaction {
	versions := a.versionsOf(reactions)
	all := make([]DescribedReaction, len(reactions))
	for i, r := range reactions {
		all[i] = DescribedReaction{Event: r.event.def.Name, Verb: r.verb}
		if r.event.any {
			continue
		}
		all[i].Event = a.definition(r.event).Type()
		for _, typ := range slices.Sorted(maps.Keys(versions.byType)) {
			if versions.byType[typ] == r && typ != all[i].Event {
				all[i].Older = append(all[i].Older, typ)
			}
		}
	}
	slices.SortFunc(all, func(x, y DescribedReaction) int { return cmp.Compare(x.Event, y.Event) })
	return all
}

func describeEvents(a *App, modules []*Module) []DescribedEvent {
	var events []DescribedEvent
	for _, e := range a.Catalog().All() {
		d := DescribedEvent{
			Type: e.Type(), Domain: e.Domain, Name: e.Name, Version: e.Version, Scope: e.Scope.String(), Key: e.Key, Older: e.Older,
			PublishTopic: e.PublishTopic, ReadTopic: e.ReadTopic,
		}
		for _, m := range modules {
			if m.emits[e.identity()] {
				d.Owners = append(d.Owners, m.name)
			}
		}
		d.Owners = unique(d.Owners)
		events = append(events, d)
	}
	return events
}

func describeRequests(modules []*Module) []DescribedRequest {
	byType := map[string]*DescribedRequest{}
	request := func(c *requestCore) *DescribedRequest {
		typ := c.def.Type()
		if byType[typ] == nil {
			byType[typ] = &DescribedRequest{Type: typ, Scope: c.def.Scope.String()}
		}
		return byType[typ]
	}
	for _, m := range modules {
		for _, e := range m.served {
			r := request(e.request)
			r.Provider, r.Verb = m.name, e.verb
		}
		for _, c := range m.calls {
			r := request(c.request)
			r.Callers = unique(append(r.Callers, m.name))
		}
	}
	var all []DescribedRequest
	for _, typ := range slices.Sorted(maps.Keys(byType)) {
		all = append(all, *byType[typ])
	}
	return all
}

func describeTopics(a *App, events []DescribedEvent) []DescribedTopic {
	var topics []DescribedTopic
	for _, t := range a.wantedTopics() {
		d := DescribedTopic{
			Name: t.Name, Readers: unique(t.Groups), Partitions: t.Partitions, Replication: t.Replication,
			MaxBytes: t.MaxBytes, Compact: t.Compact, External: t.External,
		}
		if t.Retention > 0 {
			d.Retention = t.Retention.String()
		}
		for _, e := range events {
			if e.PublishTopic == t.Name {
				d.Publishers = append(d.Publishers, e.Owners...)
			}
		}
		d.Publishers = unique(d.Publishers)
		topics = append(topics, d)
	}
	return topics
}

// unique sorts names and leaves each once.
func unique(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}
