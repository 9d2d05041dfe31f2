package tidings

import (
	"context"

	"github.com/tidings-go/tidings/broker"
)

// requests checks who answers what, and who asks.
func (c *checker) requests(ctx context.Context) {
	served := map[string]*endpoint{}
	for _, m := range c.modules {
		for _, e := range m.served {
			if e.fault != "" {
				c.wrong(e.where, "module %s: %s: %s", m.name, e.verb, e.fault)
				continue
			}
			id := e.request.def.identity()
			if other := served[id]; other != nil {
				c.wrong(e.where, "request %s has a provider already, module %s (%s): one of them would never be asked", id, other.module.name, other.where)
				continue
			}
			served[id] = e
			c.endpoint(e)
		}
	}
	for _, m := range c.modules {
		for _, call := range m.calls {
			c.call(m, call, served)
		}
	}
	c.remote(ctx, served)
}

// endpoint checks one provider.
func (c *checker) endpoint(e *endpoint) {
	def := e.request.def
	id := def.identity()
	for _, err := range e.request.errs {
		c.wrong(def.Where, "request %s: %v", id, err)
	}
	if !c.owns(def.Domain) {
		c.wrong(e.where, "module %s serves %s, and domain %q belongs to nobody here: add it to Config.Owns, or leave the request to its owner", e.module.name, id, def.Domain)
	}
	if e.native == nil && (!c.app.cfg.Remote || def.IsInternal()) {
		return
	}
	c.native("request "+id, e.native, e.verb, e.where)
	for _, err := range e.request.travel {
		c.wrong(def.Where, "request %s: %v", id, err)
	}
}

// call checks one request that a module calls.
func (c *checker) call(m *Module, call calling, served map[string]*endpoint) {
	def := call.request.def
	id := def.identity()
	if served[id] != nil {
		return
	}
	for _, err := range call.request.errs {
		c.wrong(def.Where, "request %s: %v", id, err)
	}
	switch {
	case def.IsInternal():
		c.wrong(call.where, "module %s calls %s, which is internal and which no module of this app serves: add its module", m.name, id)
	case !c.app.cfg.Remote:
		c.wrong(call.where, "module %s calls %s, which no module of this app serves: add its module, or set Config.Remote to ask other processes", m.name, id)
	default:
		for _, err := range call.request.travel {
			c.wrong(def.Where, "request %s: %v", id, err)
		}
	}
}

// remote checks that the topology has a place for requests, and that the broker carries them.
func (c *checker) remote(ctx context.Context, served map[string]*endpoint) {
	cfg := c.app.cfg
	if !cfg.Remote || cfg.Broker == nil {
		return
	}
	for id, e := range served {
		if _, err := c.app.readTopic(e.request.def); err != nil && !e.request.def.IsInternal() {
			c.wrong(e.where, "request %s has no topic: %v", id, err)
		}
	}
	states, err := cfg.Broker.Topics(ctx, broker.Inspect, broker.Topic{Name: c.app.mailbox.topic, Live: true})
	if err != nil {
		c.wrong("Config.Remote", "can't ask the broker: %v", err)
	}
	for _, s := range states {
		for _, diff := range s.Diff {
			c.wrong("Config.Remote", "%s", diff)
		}
	}
}
