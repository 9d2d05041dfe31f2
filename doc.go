// Package tidings carries events between and inside Go services: typed, versioned, in order per key, in the same transaction as the
// business change, at least once, and with their effect exactly once where a handler asks for it.
//
// # Events
//
// An event is a Go struct and a definition. Its identity is written down, so types and packages can be renamed; fields tagged as key say
// what messages are ordered by.
//
//	// BookingMade is published when a customer has booked seats for a show.
//	type BookingMade struct {
//		ShowID    string    `json:"show_id" tidings:"key"`
//		BookingID uuid.UUID `json:"booking_id" tidings:"subject"`
//		Seats     int       `json:"seats"`
//	}
//
//	var Made = tidings.Define[BookingMade]("tickets", "BookingMade", "v1")
//
// Events are [Public], a contract with other services, unless they are defined as [Internal].
//
// # An app
//
// An [App] is a service: a broker, a store, the events that it emits, its subscriptions. Run blocks until its context ends, and drains.
//
//	app := tidings.New(tidings.Config{Service: "tickets", Broker: node.Broker(), Store: node.Store()})
//	app.Emits(Made)
//	app.Subscribe(tidings.Subscription{Name: "mailer"}, tidings.On(Made, sendMail))
//	err := app.Run(ctx)
//
// Mistakes in definitions and wiring don't panic: [App.Check], which Run calls first, reports them all at once, with file, line and remedy.
//
// # Publishing
//
// There are three ways, each a [Publisher]:
//
//	Made.Publish(ctx, app.Outbox(tx), event) // in a transaction: sent if it commits, and only then
//	Made.Publish(ctx, app.Direct(), event)   // now, waiting until the broker has stored it
//	Made.Publish(ctx, app.Live(), event)     // to whoever listens now, stored nowhere
//
// What a reaction publishes inherits the correlation of the message that it handles, and has that message as its cause.
//
// # Reacting
//
// A [Subscription] is a named, durable reader. Its messages are handled in order per key, different keys in parallel, over all replicas of
// the service. A reaction is a plain function; the error that it returns is the acknowledgement:
//
//	func sendMail(ctx context.Context, e BookingMade) error
//
// nil is done, any other error is tried again with backoff while later messages of that key wait, and after the last attempt the message
// goes to the dead letters with its error history. [Discard], [RetryAfter] and [DeadLetter] say otherwise. A message that can't be decoded is
// a dead letter at once. With [HoldKey] what is later of its key waits until a person has resolved it, and a [Breaker] keeps an outage of
// something that reactions need from filling the dead letters.
//
// [OnTx] hands the function a transaction, and makes its effect exactly once: the writes, the events published in it, and the note that
// the message was handled commit together. [OnBatch] and [OnBatchTx] take many messages at once.
//
// A [Listener] is ephemeral: every replica hears every message, live ones too, or one of a queue does.
//
// # Versions
//
// An event that changes incompatibly gets a new version, made of the old one:
//
//	var Made2 = tidings.Evolve(Made, "v2", func(old BookingMade) (BookingMadeV2, error) { … })
//
// A reaction to the new version handles old messages too, wherever they still are; one to exactly the old version comes before that. While
// readers of the old version live, [Twins] publish a fact in both, and it has one effect in each subscription.
//
// # Requests and commands
//
// A [Request] is a typed question with a typed answer. One module serves it, others call it:
//
//	var FreeSeats = tidings.DefineRequest[string, int]("tickets", "FreeSeats", "v1")
//
//	app.Serve(tidings.Serve(FreeSeats, func(ctx context.Context, show string) (int, error) { … }))
//
//	seats, err := FreeSeats.Call(ctx, app, "hamlet")
//
// In one process that is a function call; with Config.Remote it reaches other processes, over a broker that can carry it. Errors keep their [Code] on the
// way, and when nobody serves a request its caller hears so at once.
//
// A command is a request that changes something and returns the events that it leads to. [HandleTx] publishes them in the command's own transaction;
// a caller that may have to ask again gives the command a key, and it is handled once:
//
//	app.Serve(tidings.HandleTx(Book, func(ctx context.Context, tx *postgres.Tx, b BookSeats) (Booking, tidings.Events, error) {
//		…
//		return booking, tidings.Events{Made.New(…)}, nil
//	}))
//
//	booking, err := Book.Call(ctx, app, BookSeats{…}, tidings.Once(key))
//
// Package httpapi makes HTTP handlers of both.
//
// # Modules
//
// A service may have several modules, each with events, subscriptions, requests, start and stop of its own: see [App.AddModule]. They find each other's events by
// import, or in the [Catalog], and start in the order of their dependencies once everything reads and listens, so that nothing published at
// start is missed. The end is the reverse: nothing more is taken in, what is in hand is finished, and modules stop.
//
// [App.Describe] tells tools what an app consists of. Package tidingstest runs an app in virtual time, with failures and crashes on purpose.
//
// # Topics
//
// A [Topology] turns definitions into topics' names: [Scoped] by environment, domain and scope; [Shared] with one topic for all public
// events; [Fixed] as written in the definition. Topics are made when the app starts.
package tidings
