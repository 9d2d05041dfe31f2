package tidings

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
)

// Scope says who may rely on an event.
type Scope int

const (
	// Public events are a contract with other services: kept compatible, archived in the lake.
	Public Scope = iota
	// Internal events belong to one service. They carry no promise, are never in the lake, and no other service may subscribe.
	// Internal is also the option of [Define] that makes an event so.
	Internal
)

// String is "public" or "internal".
func (s Scope) String() string {
	if s == Internal {
		return "internal"
	}
	return "public"
}

// Definition describes one version of one event. It is plain data: what catalogs, topologies and tools read.
type Definition struct {
	// Domain owns the event. Name and Version tell it from the domain's other events.
	Domain, Name, Version string
	Scope                 Scope
	// WireType is the CloudEvents type on the wire; empty means {domain}.{Name}.{version}.
	WireType string
	// Topic is the topic's name, as given by the option Topic; empty leaves it to the topology.
	Topic string
	// Entity is what the event is about, in the singular; the topology makes a topic's name of it. Default: the domain.
	Entity string
	// Singular keeps the topology from making a plural of Entity.
	Singular bool
	// TopicDomain and TopicVersion are the domain and version in the topic's name. Default: the event's. An empty
	// TopicVersion leaves the version out.
	TopicDomain, TopicVersion string
	// Plain says that the event's messages have no envelope: see the option.
	Plain bool
	// Key lists the JSON paths of the payload's key fields, in their order. None: messages have no order.
	Key []string
	// Older is the version that this one evolves from ("tickets.BookingMade.v1"); empty for the first.
	Older string
	// Where is the file and line of the definition, for messages to people.
	Where string
}

// Type is the CloudEvents type of the event's messages.
func (d Definition) Type() string {
	if d.WireType != "" {
		return d.WireType
	}
	return d.identity()
}

// IsInternal reports whether the event belongs to one service only.
func (d Definition) IsInternal() bool { return d.Scope == Internal }

func (d Definition) identity() string { return d.Domain + "." + d.Name + "." + d.Version }

// family is the type without its version: what the versions of one event share. Empty for events with a wire type of their own.
func (d Definition) family() string {
	if d.WireType != "" {
		return ""
	}
	return d.Domain + "." + d.Name + "."
}

// Option is what [Define] takes besides the identity: Internal, Topic, Entity, Singular, TopicDomain, TopicVersion, WireType, Plain,
// WithCodec.
type Option interface{ apply(c *core) }

func (s Scope) apply(c *core) { c.def.Scope = s }

type optionFunc func(*core)

func (f optionFunc) apply(c *core) { f(c) }

// Topic names the event's topic exactly: it is neither pluralised nor changed otherwise. Topology Fixed publishes to it as it is,
// Scoped puts it in place of the entity.
func Topic(name string) Option { return optionFunc(func(c *core) { c.def.Topic = name }) }

// Entity says what the event is about ("cashier"). Events of one entity share a topic, and so keep their order per key.
func Entity(name string) Option { return optionFunc(func(c *core) { c.def.Entity = name }) }

// Singular keeps the entity's name as it is in the topic ("inventory").
func Singular() Option { return optionFunc(func(c *core) { c.def.Singular = true }) }

// TopicDomain puts another domain than the event's own into the topic's name.
func TopicDomain(name string) Option { return optionFunc(func(c *core) { c.def.TopicDomain = name }) }

// TopicVersion puts another version than the event's own into the topic's name; "" leaves it out.
func TopicVersion(version string) Option {
	return optionFunc(func(c *core) { c.def.TopicVersion = version })
}

// WireType sets the CloudEvents type for contracts that already exist elsewhere ("customer.created").
func WireType(name string) Option { return optionFunc(func(c *core) { c.def.WireType = name }) }

// WithCodec encodes payloads otherwise than as JSON.
func WithCodec(codec Codec) Option {
	return optionFunc(func(c *core) {
		if codec == nil {
			c.mistake("the codec is nil")
			return
		}
		c.codec = codec
	})
}

// core is what an event definition is without its payload's type.
type core struct {
	def   Definition
	typ   string // def.Type(), which every message asks for
	codec Codec
	key   *keyPlan
	// older is the version that this one evolves from; nil for the first.
	older *core
	// named definitions know an event by name only; the app fills in the rest from a full definition that it has.
	named bool
	// any matches every event; with every, also the older twins of what it has.
	any, every bool
	// raw payloads are not decoded.
	raw bool
	// errs are the mistakes in the definition. They are reported by app.Check and by Publish.
	errs []error
}

func (c *core) err() error {
	if len(c.errs) == 0 {
		return nil
	}
	return fmt.Errorf("tidings: event %s (%s): %w", c.def.identity(), c.def.Where, errors.Join(c.errs...))
}

func (c *core) mistake(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

var (
	domainPattern  = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	namePattern    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
	versionPattern = regexp.MustCompile(`^v[1-9][0-9]*$`)
	wirePattern    = regexp.MustCompile(`^[!-~]+$`)
)

func (c *core) checkNames() {
	d := c.def
	if !domainPattern.MatchString(d.Domain) {
		c.mistake("domain %q: want lower-case letters, digits and '-', such as \"tickets\"", d.Domain)
	}
	if !namePattern.MatchString(d.Name) {
		c.mistake("name %q: want letters, digits, '-' and '_', such as \"BookingMade\"", d.Name)
	}
	if !versionPattern.MatchString(d.Version) {
		c.mistake("version %q: want v and a number, such as \"v1\"", d.Version)
	}
	if d.WireType != "" && !wirePattern.MatchString(d.WireType) {
		c.mistake("wire type %q: want printable ASCII without spaces, such as \"customer.created\"", d.WireType)
	}
	if d.Entity == "" {
		c.mistake("entity \"\": want a noun in the singular, such as \"cashier\"")
	}
	if d.Topic != "" {
		if err := checkTopic(d.Topic); err != nil {
			c.errs = append(c.errs, err)
		}
	}
}

var topicPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`)

func checkTopic(name string) error {
	if !topicPattern.MatchString(name) || name == "." || name == ".." {
		return fmt.Errorf("topic %q: want 1 to 200 of the letters a-z, A-Z, digits, '.', '_' and '-', which every broker takes", name)
	}
	return nil
}

// callerAt is the file and line of the user's call, skip frames above the caller's caller.
func callerAt(skip int) string {
	_, file, line, ok := runtime.Caller(skip + 2)
	if !ok {
		return "unknown place"
	}
	return filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file) + ":" + strconv.Itoa(line)
}
