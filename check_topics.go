package tidings

import (
	"context"
	"slices"
	"strings"

	"github.com/tidings-go/tidings/broker"
)

// topicNames finds topics whose names differ so little that one was meant.
func (c *checker) topicNames() {
	topics := c.app.wantedTopics()
	for _, t := range c.app.cfg.Topics {
		if !t.External && !slices.ContainsFunc(topics, func(w broker.Topic) bool { return w.Name == t.Name }) {
			c.doubtful("Config.Topics", "nothing in this app publishes to or reads from topic %q", t.Name)
		}
	}
	byShape := map[string]string{}
	for _, t := range topics {
		if strings.HasSuffix(t.Name, deadLettersSuffix) {
			continue // named after the subscription, which is unique
		}
		shape := topicShape(t.Name)
		if other, ok := byShape[shape]; ok {
			c.wrong("topics", "%q and %q differ only in case, separators or plural: if one topic is meant, give both events the same Topic or Entity", other, t.Name)
		}
		byShape[shape] = t.Name
	}
}

func topicShape(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '.' || r == '-' || r == '_' })
	for i, w := range words {
		words[i] = plural(w)
	}
	return strings.Join(words, ".")
}

// external asks the broker for the topics that somebody else must have made.
func (c *checker) external(ctx context.Context) {
	if c.app.cfg.Broker == nil {
		return
	}
	var want []broker.Topic
	for _, t := range c.app.cfg.Topics {
		if t.External {
			want = append(want, t)
		}
	}
	if len(want) == 0 {
		return
	}
	states, err := c.app.cfg.Broker.Topics(ctx, broker.Inspect, want...)
	if err != nil {
		c.wrong("Config.Topics", "can't look at the external topics: %v", err)
	}
	for _, s := range states {
		if s.Missing {
			c.wrong("Config.Topics", "external topic %q does not exist: its owner must make it", s.Name)
		}
		for _, diff := range s.Diff {
			c.wrong("Config.Topics", "external topic %q: %s", s.Name, diff)
		}
	}
}
