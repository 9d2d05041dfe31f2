package sse

import (
	"fmt"
	"net/http"
	"time"
)

// ServeHTTP streams events to one client until it leaves, is cut off, or the hub is closed.
//
// The server's ReadTimeout and WriteTimeout do not apply to the stream. A middleware that wraps the ResponseWriter must have the method Unwrap, as
// http.ResponseController wants it: without write deadlines a slow client could not be cut off, and is refused with status 500.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := stream{w: w, control: http.NewResponseController(w), timeout: h.cfg.WriteTimeout}
	if err := out.prepare(); err != nil {
		http.Error(w, "sse: the server can't stream: "+err.Error(), http.StatusInternalServerError)
		return
	}
	c, missed, err := h.join(r.Header.Get("Last-Event-ID"))
	if err != nil {
		w.Header().Set("Retry-After", "5")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer h.leave(c)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx would gather events otherwise
	// The comment sends the headers, so that the browser knows at once that it is connected.
	if out.send([]byte(": connected\n\n")) != nil || out.send(missed...) != nil {
		return
	}
	h.pump(r, c, &out)
}

// pump writes to the client what comes for it. A client that can't be written to has left, or is to be cut off: either way that is the end.
func (h *Hub) pump(r *http.Request, c *client, out *stream) {
	heartbeat := time.NewTicker(h.cfg.Heartbeat)
	defer heartbeat.Stop()
	batch := make([][]byte, 0, h.cfg.Buffer)
	for {
		select {
		case <-r.Context().Done():
			return
		case <-c.gone:
			return
		case <-heartbeat.C:
			if out.send([]byte(": heartbeat\n\n")) != nil {
				return
			}
		case frame := <-c.frames:
			batch = append(batch[:0], frame)
			for len(c.frames) > 0 { // only this goroutine takes from it
				batch = append(batch, <-c.frames)
			}
			if out.send(batch...) != nil {
				return
			}
			heartbeat.Reset(h.cfg.Heartbeat)
		}
	}
}

// stream is a response that is written piece by piece, each within a time.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// prepare takes the server's own deadlines off.
func (s *stream) prepare() error {
	if err := s.control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("set the read deadline: %w", err)
	}
	return s.extend()
}

func (s *stream) extend() error {
	if err := s.control.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return fmt.Errorf("set the write deadline: %w", err)
	}
	return nil
}

// send writes frames and flushes.
func (s *stream) send(frames ...[]byte) error {
	if len(frames) == 0 {
		return nil
	}
	for _, frame := range frames {
		if err := s.extend(); err != nil {
			return err
		}
		if _, err := s.w.Write(frame); err != nil { //nolint:gosec // it is an event stream, which browsers don't render
			return fmt.Errorf("write: %w", err)
		}
	}
	return s.control.Flush()
}
