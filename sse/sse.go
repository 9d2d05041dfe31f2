// Package sse sends events to browsers: Server-Sent Events from one hub to many clients.
//
//	hub := sse.New(sse.Config{})
//	mux.Handle("GET /events", hub)
//	server.RegisterOnShutdown(hub.Close)
//	…
//	err := hub.Publish(id, "booking", row) // to everyone who is connected
//
// The browser's EventSource reconnects by itself and says which event it saw last. The hub keeps the latest events and sends what was missed; when
// it no longer has them, or never did, it sends an event called [Resync], on which the page should load everything again:
//
//	const source = new EventSource("/events");
//	source.addEventListener("booking", e => show(JSON.parse(e.data)));
//	source.addEventListener("resync", load);
//
// Each client has a bounded buffer. Who reads too slowly is cut off, so that nobody waits for anybody and memory stays bounded; the
// browser reconnects and resumes. The hub has no goroutines of its own.
package sse

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"
)

// Resync is the name of the event that tells a client to load everything again: what it missed is not known. Its data is "{}".
const Resync = "resync"

// Errors that the hub's handler answers with.
var (
	errFull   = errors.New("sse: too many clients")
	errClosed = errors.New("sse: the hub is closed")
)

// Config has a useful zero value.
type Config struct {
	// Keep is how many events at least are kept for clients that come back. Default 1,024.
	Keep int
	// Buffer is how many events may wait for one client before it is cut off. Default 256.
	Buffer int
	// MaxClients is how many clients may be connected; the next gets status 503. Default 256.
	MaxClients int
	// Heartbeat is how often a client that gets nothing else gets a comment, which keeps proxies from closing the connection. Default 15 s.
	Heartbeat time.Duration
	// WriteTimeout is how long one write to a client may take before it is cut off. Default 10 s.
	WriteTimeout time.Duration
}

// Hub sends what is published to all connected clients. It is an http.Handler, and safe for concurrent use.
type Hub struct {
	cfg Config

	mu      sync.Mutex
	clients map[*client]struct{}
	kept    []keptFrame // up to twice Config.Keep, so that trimming is seldom
	cutOff  uint64
	closed  bool
}

// keptFrame is an event as it goes over the wire, and its id.
type keptFrame struct {
	id    string
	frame []byte
}

// client is one connection.
type client struct {
	frames chan []byte
	// gone is closed when the hub has given the client up.
	gone chan struct{}
}

// New makes a hub without clients.
func New(cfg Config) *Hub {
	cfg.Keep = cmp.Or(max(cfg.Keep, 0), 1024)
	cfg.Buffer = cmp.Or(max(cfg.Buffer, 0), 256)
	cfg.MaxClients = cmp.Or(max(cfg.MaxClients, 0), 256)
	cfg.Heartbeat = cmp.Or(max(cfg.Heartbeat, 0), 15*time.Second)
	cfg.WriteTimeout = cmp.Or(max(cfg.WriteTimeout, 0), 10*time.Second)
	return &Hub{cfg: cfg, clients: map[*client]struct{}{}}
}

// Publish sends an event to every client and keeps it for those who come back. It never waits for a client.
//
// The id must be unique over restarts of the program too: a client that comes back with an id of another run must not be taken for one
// that missed nothing. An event without id is not kept. The name is what the page listens for; empty means "message". Data is any UTF-8
// text, and must not be empty, since browsers drop such events. The error says which of them is impossible.
func (h *Hub) Publish(id, name string, data []byte) error {
	frame, err := encode(Event{ID: id, Name: name, Data: data})
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	if id != "" {
		h.keep(keptFrame{id, frame})
	}
	for c := range h.clients {
		select {
		case c.frames <- frame:
		default:
			h.cutOff++
			h.drop(c)
		}
	}
	return nil
}

// Close ends all connections, and refuses new ones. Calling it again does nothing. Give it to http.Server.RegisterOnShutdown:
// a server that shuts down waits for its connections, and these would never end.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for c := range h.clients {
		h.drop(c)
	}
}

// Stats says what a hub is doing.
type Stats struct {
	// Clients is how many are connected.
	Clients int
	// CutOff is how many were cut off so far because their buffer was full.
	CutOff uint64
}

// Stats returns the present figures.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Stats{Clients: len(h.clients), CutOff: h.cutOff}
}

// keep adds an event to those that are kept. The caller holds h.mu, as in all that follows.
func (h *Hub) keep(k keptFrame) {
	h.kept = append(h.kept, k)
	if len(h.kept) >= 2*h.cfg.Keep {
		h.kept = slices.Clone(h.kept[len(h.kept)-h.cfg.Keep:])
	}
}

// drop gives a client up. Its handler notices by itself.
func (h *Hub) drop(c *client) {
	delete(h.clients, c)
	close(c.gone)
}

// join adds a client, and returns what it has to be sent first: what came after lastID, or that it has to start anew.
func (h *Hub) join(lastID string) (*client, [][]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, nil, errClosed
	case len(h.clients) >= h.cfg.MaxClients:
		return nil, nil, errFull
	}
	c := &client{frames: make(chan []byte, h.cfg.Buffer), gone: make(chan struct{})}
	h.clients[c] = struct{}{}
	return c, h.missed(lastID), nil
}

func (h *Hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.clients[c]; ok {
		h.drop(c)
	}
}

// missed is what a client that saw lastID last has not seen.
func (h *Hub) missed(lastID string) [][]byte {
	if lastID == "" {
		return nil
	}
	for i := range slices.Backward(h.kept) {
		if h.kept[i].id != lastID {
			continue
		}
		frames := make([][]byte, 0, len(h.kept)-i-1)
		for _, k := range h.kept[i+1:] {
			frames = append(frames, k.frame)
		}
		return frames
	}
	resync := Event{Name: Resync, Data: []byte("{}")}
	if len(h.kept) > 0 {
		resync.ID = h.kept[len(h.kept)-1].id // so that the next reconnect can resume
	}
	return [][]byte{appendFrame(nil, resync)}
}
