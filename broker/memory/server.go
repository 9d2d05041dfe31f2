package memory

import (
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/tidings-go/tidings/broker"
)

// server is what all clients share.
type server struct {
	config Config
	// topics is copied to be changed: topics are made once, and looked up for every record.
	topics atomic.Pointer[map[string]*topic]

	mu     sync.Mutex // guards groups and all that they hold; taken before a topic's lock
	groups map[string]*group
}

func newServer(config Config) *server {
	s := &server{config: config, groups: make(map[string]*group)}
	s.topics.Store(&map[string]*topic{})
	return s
}

func (s *server) topic(name string) (*topic, error) {
	if t, ok := (*s.topics.Load())[name]; ok {
		return t, nil
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	return nil, broker.ErrUnknownTopic
}

// create makes the topic that want describes, unless there is one.
func (s *server) create(want broker.Topic) *topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.topics.Load()
	if t, ok := old[want.Name]; ok {
		return t
	}
	t := newTopic(want, s.config.Retain)
	topics := maps.Clone(old)
	topics[want.Name] = t
	s.topics.Store(&topics)
	return t
}

func (s *server) fault(op, topic string) error {
	if s.config.Fault == nil {
		return nil
	}
	return s.config.Fault(op, topic)
}

// maxName is the longest topic name in bytes.
const maxName = 200

// checkName allows only what every broker takes as a topic name.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("a topic name has 1 to %d characters, not %d: %w", maxName, len(name), broker.ErrInvalid)
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("topic name %q: only letters, digits, dots, dashes and underscores are possible: %w", name, broker.ErrInvalid)
		}
	}
	return nil
}
