package tidings

import (
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/store"
)

// Broker is that of the configuration, for tools that look at the app's topics.
func (a *App) Broker() broker.Broker { return a.cfg.Broker }

// Store is that of the configuration, for tools that look at the app's outbox and dead letters. It is nil when the app has none.
func (a *App) Store() store.Store { return a.cfg.Store }
