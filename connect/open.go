package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/embedded"
)

// opener opens one connection.
type opener struct {
	cfg           Config
	broker, store target
	c             *Connection
	// node is the embedded broker and store in folder.
	node   *embedded.Node
	folder string
}

// scheme is how one scheme is opened.
type scheme struct {
	name string
	open func(o *opener, ctx context.Context, a *address) error
}

func (o *opener) open(ctx context.Context) error {
	var err error
	if o.broker, err = dissect("broker", o.cfg.Broker, brokers()); err != nil {
		return err
	}
	if o.store, err = dissect("store", o.cfg.Store, stores()); err != nil {
		return err
	}
	for _, t := range []target{o.broker, o.store} {
		if t.address == nil {
			continue
		}
		if err := t.open(o, ctx, t.address); err != nil {
			return fmt.Errorf("connect: %s: %w", t.what, t.hide(err))
		}
	}
	return nil
}

// target is a URL and how it is opened.
type target struct {
	*address // nil: there is none
	what     string
	open     func(o *opener, ctx context.Context, a *address) error
}

// dissect parses a URL before anything is opened.
func dissect(what, raw string, schemes []scheme) (target, error) {
	if raw == "" {
		return target{}, nil
	}
	name, err := schemeOf(raw)
	if err != nil {
		return target{}, fmt.Errorf("connect: the URL of the %s: %w", what, err)
	}
	i := slices.IndexFunc(schemes, func(s scheme) bool { return s.name == name })
	if i < 0 {
		return target{}, fmt.Errorf("connect: the URL of the %s: unknown scheme %q: known are %s", what, name, listed(names(schemes)))
	}
	a, err := parse(name, raw)
	if err != nil {
		return target{}, fmt.Errorf("connect: the URL of the %s: %w", what, err)
	}
	return target{a, what, schemes[i].open}, nil
}

func names(schemes []scheme) []string {
	list := make([]string, len(schemes))
	for i, s := range schemes {
		list[i] = s.name
	}
	return list
}

// closes notes what is to be closed; the last comes first.
func (o *opener) closes(c io.Closer) { o.c.closers = append(o.c.closers, c.Close) }

// openNode opens an embedded folder, or the broker of the process that has it.
func (o *opener) openNode(ctx context.Context, a *address, cfg nats.Config) error {
	dir, err := folder(a)
	if err != nil {
		return err
	}
	whole := embedded.Config{Broker: cfg, Log: o.cfg.Log}
	if o.storeIsIn(dir) {
		if whole.Store, err = sqliteConfig(o.store.address, o.cfg.Log); err != nil {
			return err
		}
	}
	node, err := embedded.Open(ctx, dir, whole)
	if errors.Is(err, embedded.ErrInUse) && o.cfg.Attach {
		return o.attach(ctx, dir, cfg)
	}
	if err != nil {
		return err
	}
	o.closes(node)
	o.c.Broker, o.node, o.folder = node.Broker(), node, dir
	return nil
}

// storeIsIn reports whether the store that is wanted is that of the embedded folder.
func (o *opener) storeIsIn(dir string) bool {
	if o.store.address == nil || o.store.scheme != "embedded" {
		return false
	}
	beside, err := folder(o.store.address)
	return err == nil && beside == dir
}

// attach connects to the broker of the process that has the folder.
func (o *opener) attach(ctx context.Context, dir string, cfg nats.Config) error {
	nc, err := embedded.Attach(ctx, dir)
	if err != nil {
		return err
	}
	o.c.closers = append(o.c.closers, func() error { nc.Close(); return nil })
	b, err := nats.New(ctx, nc, cfg)
	if err != nil {
		return err
	}
	o.closes(b)
	o.c.Broker = b
	return nil
}

// folder is the folder of an embedded broker and store.
func folder(a *address) (string, error) {
	if a.path == "" {
		return "", errors.New("the URL names no folder: want embedded:DIR")
	}
	dir, err := filepath.Abs(a.path)
	if err != nil {
		return "", fmt.Errorf("find the folder %s: %w", a.path, err)
	}
	return dir, nil
}
