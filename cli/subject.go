package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/store"
)

// source is where commands get what they work on: an app, or flags.
type source struct {
	app *tidings.App // nil: flags

	manifest, broker, store string
}

// add adds the flags to a command, if there is no app.
func (s *source) add(cmd *cobra.Command) {
	if s.app != nil {
		return
	}
	flags := cmd.Flags()
	flags.StringVar(&s.manifest, "manifest", "", "the file that the service's command manifest wrote")
	flags.StringVar(&s.broker, "broker", "", "the broker's URL: nats://HOST, kafka://HOST, embedded:DIR and so on")
	flags.StringVar(&s.store, "store", "", "the store's URL: postgres://HOST/DATABASE, sqlite:FILE, embedded:DIR")
}

// subject is what a command works on.
type subject struct {
	tidings.Description
	app    *tidings.App // nil: only the description is known
	broker broker.Broker
	store  store.Store // nil: there is none, or it was not named
}

// with opens the subject, runs fn on it and closes it.
func (s *source) with(ctx context.Context, fn func(*subject) error) (err error) {
	if s.app != nil {
		return s.withApp(fn)
	}
	if s.broker == "" {
		return usageError{errors.New("--broker: name the broker, such as nats://localhost or kafka://localhost:9092")}
	}
	var sub subject
	if s.manifest != "" {
		if sub.Description, err = readManifest(s.manifest); err != nil {
			return err
		}
	}
	c, err := connect.Open(ctx, connect.Config{Broker: s.broker, Store: s.store, Attach: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if sub.broker = c.Broker; c.Store != nil {
		sub.store = c.Store
	}
	return fn(&sub)
}

func (s *source) withApp(fn func(*subject) error) error {
	d, err := s.app.Describe()
	if err != nil {
		return err
	}
	if s.app.Broker() == nil {
		return errors.New("the app has no broker: set Config.Broker")
	}
	return fn(&subject{d, s.app, s.app.Broker(), s.app.Store()})
}

// withManifest is with, for commands that need to know the service.
func (s *source) withManifest(ctx context.Context, fn func(*subject) error) error {
	if s.app == nil && s.manifest == "" {
		return usageError{errors.New("--manifest: name the file that the service's command manifest wrote, or use the service's own binary")}
	}
	return s.with(ctx, fn)
}

func readManifest(file string) (tidings.Description, error) {
	var d tidings.Description
	content, err := os.ReadFile(file) //nolint:gosec // it is the file that the user names
	if err != nil {
		return d, fmt.Errorf("read the manifest: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err = decoder.Decode(&d); err == nil && d.Service == "" {
		err = errors.New("it names no service")
	}
	if err != nil {
		return d, fmt.Errorf("read the manifest %s: %w: write it anew with the service's command manifest", file, err)
	}
	return d, nil
}

// wanted are the service's topics as they should be, with the groups that read them.
func (s *subject) wanted() ([]broker.Topic, error) {
	topics := make([]broker.Topic, 0, len(s.Topics))
	for _, d := range s.Topics {
		t := broker.Topic{
			Name: d.Name, Partitions: d.Partitions, Replication: d.Replication, MaxBytes: d.MaxBytes, Compact: d.Compact, External: d.External, Groups: d.Readers,
		}
		if d.Retention != "" {
			var err error
			if t.Retention, err = time.ParseDuration(d.Retention); err != nil {
				return nil, fmt.Errorf("topic %s: its retention: %w", d.Name, err)
			}
		}
		topics = append(topics, t)
	}
	return topics, nil
}

// isKeyed reports whether a topic has, or may have, messages that are ordered by a key.
func (s *subject) isKeyed(topic string) bool {
	known := false
	for _, e := range s.Events {
		if e.PublishTopic != topic && e.ReadTopic != topic {
			continue
		}
		if known = true; len(e.Key) > 0 {
			return true
		}
	}
	return !known || slices.ContainsFunc(s.Subscriptions, func(sub tidings.DescribedSubscription) bool {
		return slices.Contains(sub.Topics, topic) && slices.ContainsFunc(sub.Reactions, func(r tidings.DescribedReaction) bool { return r.Event == "any" })
	})
}
