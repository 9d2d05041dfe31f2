package tidings

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tidings-go/tidings/broker"
)

// publishTopic and readTopic are where the topology puts an event, with a name that every broker takes.
func (a *App) publishTopic(d Definition) (string, error) {
	name, err := a.cfg.Topology.PublishTopic(a.cfg.Service, d)
	if err == nil {
		err = checkTopic(name)
	}
	return name, err
}

func (a *App) readTopic(d Definition) (string, error) {
	name, err := a.cfg.Topology.SubscribeTopic(a.cfg.Service, d)
	if err == nil {
		err = checkTopic(name)
	}
	return name, err
}

// readTopics is what a subscription reads: its own Topics, or those of its events, with the versions that they evolve from. When its events have different topics and are all
// published to one, it reads that one and skips the rest, since only there are they in order.
func (a *App) readTopics(s *subscriber) ([]string, error) {
	if len(s.Topics) > 0 {
		return s.Topics, nil
	}
	read, published := map[string]bool{}, map[string]bool{}
	for _, r := range s.reactions {
		if r.event.any {
			continue
		}
		for _, version := range r.event.versions() {
			d := a.definition(version)
			topic, err := a.readTopic(d)
			if err != nil {
				return nil, err
			}
			read[topic] = true
			if topic, err = a.publishTopic(d); err != nil {
				return nil, err
			}
			published[topic] = true
		}
	}
	if len(read) > 1 && len(published) == 1 {
		read = published
	}
	return slices.Sorted(maps.Keys(read)), nil
}

// wantedTopics are the topics that the app publishes to and reads from, with their settings and the groups that read them.
func (a *App) wantedTopics() []broker.Topic {
	a.mu.Lock()
	modules := slices.Clone(a.modules)
	a.mu.Unlock()
	w := wanted{app: a, topics: map[string]*broker.Topic{}}
	for _, m := range modules {
		for _, c := range m.emitted {
			w.event(c)
		}
		for _, s := range m.subs {
			w.subscription(s)
		}
		for _, l := range m.listeners {
			for _, r := range l.reactions {
				for _, version := range r.event.versions() {
					w.event(version)
				}
			}
		}
	}
	topics := make([]broker.Topic, 0, len(w.topics))
	for _, name := range slices.Sorted(maps.Keys(w.topics)) {
		topics = append(topics, *w.topics[name])
	}
	return topics
}

// wanted collects topics.
type wanted struct {
	app    *App
	topics map[string]*broker.Topic
}

// topic is the topic called name. What has no name is lost on purpose: Check reports why it has none.
func (w *wanted) topic(name string, err error) *broker.Topic {
	if err != nil || name == "" {
		return &broker.Topic{}
	}
	if w.topics[name] == nil {
		w.topics[name] = w.app.topic(name)
	}
	return w.topics[name]
}

func (w *wanted) event(c *core) {
	d := w.app.definition(c)
	w.topic(w.app.publishTopic(d))
	w.topic(w.app.readTopic(d))
}

func (w *wanted) subscription(s *subscriber) {
	topics, err := w.app.readTopics(s)
	for _, name := range topics {
		t := w.topic(name, err)
		t.Groups = append(t.Groups, s.group)
	}
	if w.app.cfg.Store == nil {
		dead := w.topic(deadLettersTopic(s.group), checkTopic(s.group))
		dead.Partitions = cmp.Or(dead.Partitions, 1) // few messages, which nobody reads in a group
	}
}

// topic is a topic with the settings that Config.Topics has for it.
func (a *App) topic(name string) *broker.Topic {
	for _, t := range a.cfg.Topics {
		if t.Name == name {
			t.Groups = slices.Clone(t.Groups)
			return &t
		}
	}
	return &broker.Topic{Name: name}
}

// Topics asks the broker about every topic that the app publishes to or reads from: what it holds, how it differs from what the app wants,
// and how far each of the app's groups is behind.
func (a *App) Topics(ctx context.Context) ([]broker.TopicState, error) {
	if a.cfg.Broker == nil {
		return nil, errNoBroker
	}
	states, err := a.cfg.Broker.Topics(ctx, broker.Inspect, a.wantedTopics()...)
	if err != nil {
		return nil, fmt.Errorf("tidings: inspect topics: %w", err)
	}
	return states, nil
}

// ensureTopic makes a topic if it is missing: one that no definition names, or one that is published to before Run.
func (a *App) ensureTopic(ctx context.Context, name string) error {
	if _, ok := a.ensured.Load(name); ok {
		return nil
	}
	if a.cfg.Broker == nil {
		return errNoBroker
	}
	if err := checkTopic(name); err != nil {
		return fmt.Errorf("tidings: %w", err)
	}
	if _, err := a.cfg.Broker.Topics(ctx, broker.Apply, *a.topic(name)); err != nil {
		return fmt.Errorf("tidings: provision topic %s: %w", name, err)
	}
	a.ensured.Store(name, true)
	return nil
}

// provision makes the topics that are missing. Differences in those that exist are errors, since order or retention would not be what the
// app was told.
func (a *App) provision(ctx context.Context) error {
	want := a.wantedTopics()
	if a.cfg.Remote {
		want = append(want, a.liveTopics()...)
	}
	states, err := a.cfg.Broker.Topics(ctx, broker.Apply, want...)
	if err != nil {
		return fmt.Errorf("tidings: provision topics: %w", err)
	}
	var problems []Problem
	for _, s := range states {
		a.ensured.Store(s.Name, true)
		for _, diff := range s.Diff {
			problems = append(problems, Problem{Wrong, "topic " + s.Name, diff})
		}
	}
	a.provisioned.Store(true)
	return joinProblems(problems, Wrong)
}
