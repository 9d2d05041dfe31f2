package tidings

import (
	"cmp"
	"fmt"
	"strings"
)

// Topology turns a definition into the topic that it is published to and the topic that it is read from. service is the app's name. An error
// says that the definition has no place; app.Check reports it. [Scoped], [Shared] and [Fixed] come with tidings.
type Topology interface {
	PublishTopic(service string, d Definition) (string, error)
	SubscribeTopic(service string, d Definition) (string, error)
}

// Scoped names topics by environment, domain and scope:
//
//	{env}.{domain}.public.{topic}.{version}    dev.appdomain.public.cashiers.v1
//	{env}.{domain}.internal.{topic}.{version}  prod.invoicing.internal.payments (with TopicVersion(""))
//
// The topic is the event's Topic, or its Entity as a plural in kebab-case. It is the default.
type Scoped struct {
	// Env is the environment's name. Default "dev".
	Env string
}

// PublishTopic is the event's topic.
func (s Scoped) PublishTopic(_ string, d Definition) (string, error) {
	topic := d.Topic
	if topic == "" {
		topic = kebab(d.Entity)
		if !d.Singular {
			topic = plural(topic)
		}
	}
	name := strings.Join([]string{cmp.Or(s.Env, "dev"), d.TopicDomain, d.Scope.String(), topic}, ".")
	if d.TopicVersion != "" {
		name += "." + d.TopicVersion
	}
	return name, checkTopic(name)
}

// SubscribeTopic is the same as PublishTopic.
func (s Scoped) SubscribeTopic(service string, d Definition) (string, error) {
	return s.PublishTopic(service, d)
}

// Shared publishes all public events to one topic, from which a forwarder feeds one topic per event:
//
//	events                                          every public event: what the lake and the forwarder read
//	events.{Name}                                   one public event: what subscriptions to it read
//	internal-events.svc-{service}.{Name}            one internal event, published directly
//
// A subscription to several public events reads the shared topic and skips the rest, since only there are they in order.
type Shared struct {
	// Topic is the shared topic's name. Default "events".
	Topic string
}

// PublishTopic is the shared topic for public events, and the event's own for internal ones.
func (s Shared) PublishTopic(service string, d Definition) (string, error) {
	if d.IsInternal() {
		return s.internal(service, d)
	}
	return cmp.Or(s.Topic, "events"), nil
}

// SubscribeTopic is the event's own topic.
func (s Shared) SubscribeTopic(service string, d Definition) (string, error) {
	if d.IsInternal() {
		return s.internal(service, d)
	}
	name := s.EventTopic(d.Name)
	return name, checkTopic(name)
}

// EventTopic is the topic of one public event, given the event's name: where a forwarder puts it.
func (s Shared) EventTopic(name string) string { return cmp.Or(s.Topic, "events") + "." + name }

func (s Shared) internal(service string, d Definition) (string, error) {
	name := "internal-events.svc-" + service + "." + d.Name
	return name, checkTopic(name)
}

// Fixed uses exactly the topic named in the definition by the option Topic. Several events may share one.
type Fixed struct{}

// PublishTopic is the definition's topic.
func (Fixed) PublishTopic(_ string, d Definition) (string, error) {
	if d.Topic == "" {
		return "", fmt.Errorf("topology Fixed needs the topic's name: add tidings.Topic(%q) to the definition of %s", plural(kebab(d.Entity))+"-events", d.identity())
	}
	return d.Topic, nil
}

// SubscribeTopic is the definition's topic.
func (f Fixed) SubscribeTopic(service string, d Definition) (string, error) {
	return f.PublishTopic(service, d)
}
