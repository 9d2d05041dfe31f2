package nats

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// heartbeat is how often the server shows that it still knows of a pull request, and pullExpiry how long it keeps one.
const (
	heartbeat  = 5 * time.Second
	pullExpiry = 30 * time.Second
)

// feed is the flow of messages from one consumer: one pull request at a time, made when the queue is half empty. It is guarded
// by its partition's lock.
type feed struct {
	nc      *natsgo.Conn
	request string // where pull requests go
	inbox   string
	sub     *natsgo.Subscription

	pulls  int    // how many requests were made
	reply  string // where words about the current one arrive; messages keep their own subject
	wanted int    // how many it may still bring. Zero: there is none
	large  bool   // the next message is larger than what a request usually allows

	last    uint64 // number of the last message of this consumer
	stream  uint64 // sequence of that message
	claimed uint64 // number that the server said it had sent at its last heartbeat
	heard   bool   // since the last look
	missed  int    // looks without
	acks    string // begins what messages are acknowledged to
	lastAck string // what was acknowledged last
}

// attach begins to read from a consumer.
func (p *partition) attach(consumer string) error {
	f := &feed{nc: p.b.nc, request: jetstream.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + p.src.topic.stream + "." + consumer, inbox: p.b.nc.NewInbox()}
	sub, err := p.b.nc.Subscribe(f.inbox+".*", func(msg *natsgo.Msg) { p.receive(f, msg) })
	if err != nil {
		return err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil { // what was asked for is bounded
		return err
	}
	f.sub = sub
	p.mu.Lock()
	defer p.mu.Unlock()
	f.stream = max(p.begin, 1) - 1
	p.feed, p.unsettled, p.base = f, nil, 1
	p.wake(p.arrived)
	p.pull()
	return nil
}

// detach ends the flow. What is queued stays.
func (p *partition) detach() {
	p.mu.Lock()
	f := p.feed
	p.feed = nil
	p.mu.Unlock()
	if f != nil {
		f.close()
	}
}

func (f *feed) close() { _ = f.sub.Unsubscribe() }

// receive takes what arrives from the server, messages and words about them.
func (p *partition) receive(f *feed, msg *natsgo.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.feed != f || p.closed {
		return
	}
	f.heard = true
	if msg.Reply == "" {
		p.notice(msg)
		return
	}
	at, ok := parsePlace(msg.Reply)
	if !ok || at.consumer != f.last+1 {
		p.complain()
		return
	}
	if f.acks == "" {
		f.acks = at.acks
	}
	f.last, f.stream = at.consumer, at.stream
	f.wanted = max(0, f.wanted-1)
	p.accept(message{msg: msg, place: at})
	p.pull()
}

// accept queues a message, unless an earlier consumer has brought it already.
func (p *partition) accept(m message) {
	sequence := m.place.stream
	if p.src.group != "" {
		p.unsettled = append(p.unsettled, sequence)
	}
	if sequence <= p.received {
		if sequence < p.next {
			p.acknowledgeSoon()
		}
		if sequence == p.received {
			p.wake(p.arrived)
		}
		return
	}
	p.received = sequence
	if !p.src.toEnd || sequence <= p.src.end {
		p.queue = append(p.queue, m)
		p.queued += m.size()
	}
	p.atEnd = p.src.toEnd && (sequence >= p.src.end || m.place.pending == 0)
	p.wake(p.arrived)
}

// notice takes what the server says about the pull request.
func (p *partition) notice(msg *natsgo.Msg) {
	f := p.feed
	description := msg.Header.Get("Description")
	switch status := msg.Header.Get("Status"); {
	case status == "100":
		// Messages may still be on their way behind a heartbeat, but not behind the next one.
		if f.last < f.claimed {
			p.complain()
		}
		f.claimed, _ = strconv.ParseUint(msg.Header.Get("Nats-Last-Consumer"), 10, 64)
		return
	case msg.Subject != f.reply:
		return
	case status == "408" && p.src.toEnd:
		p.complain() // what there was to read may have been deleted: a new consumer knows
		return
	case strings.EqualFold(description, "Batch Completed"):
		return // its messages are counted; in a cluster they may come after this
	case status == "404", status == "408":
	case strings.EqualFold(description, "Message Size Exceeds MaxBytes"):
		f.large = true
	default:
		// The consumer is gone or has moved, or nobody answers.
		p.complain()
		return
	}
	f.wanted = 0
	p.pull()
}

// pull asks for more if the queue is half empty and nothing is on its way.
func (p *partition) pull() {
	f := p.feed
	if f == nil || f.wanted > 0 || p.closed || p.atEnd || p.stopping() && p.caughtUp() ||
		len(p.queue) > p.b.cfg.PrefetchRecords/2 || p.queued > p.b.cfg.PrefetchBytes/2 || f.large && len(p.queue) > 0 {
		return
	}
	request := struct {
		Batch     int           `json:"batch"`
		MaxBytes  int           `json:"max_bytes,omitempty"`
		Expires   time.Duration `json:"expires"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
	}{p.b.cfg.PrefetchRecords - len(p.queue), p.b.cfg.PrefetchBytes - p.queued, pullExpiry, heartbeat}
	if f.large {
		request.Batch, request.MaxBytes, f.large = 1, 0, false
	}
	body, err := json.Marshal(request)
	if err != nil {
		p.complain()
		return
	}
	f.pulls++
	f.reply, f.wanted = f.inbox+"."+strconv.Itoa(f.pulls), request.Batch
	if err := f.nc.PublishRequest(f.request, f.reply, body); err != nil {
		p.complain()
	}
}

// complain has the keeper make a new consumer.
func (p *partition) complain() {
	p.feed.wanted = 1 // nothing more is asked of this one
	p.wake(p.trouble)
}

func (p *partition) wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// silent reports whether a pull request is open and nothing was heard for two looks, not even a heartbeat.
func (p *partition) silent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.feed
	if f == nil || f.wanted == 0 {
		return false
	}
	if f.heard {
		f.heard, f.missed = false, 0
		return false
	}
	f.missed++
	return f.missed >= 3
}

// place is what the reply subject of a message tells.
type place struct {
	acks     string // the subject up to the numbers
	stream   uint64
	consumer uint64
	time     int64
	pending  uint64
}

// parsePlace reads "$JS.ACK.stream.consumer.delivered.stream seq.consumer seq.time.pending", or the longer form of newer servers, with domain and
// account before the stream and maybe a token at the end.
func parsePlace(reply string) (place, bool) {
	if n := strings.Count(reply, "."); n == 11 {
		reply = reply[:strings.LastIndexByte(reply, '.')]
	} else if n != 8 && n != 10 {
		return place{}, false
	}
	if !strings.HasPrefix(reply, "$JS.ACK.") {
		return place{}, false
	}
	var numbers [5]uint64 // delivered, stream, consumer, time, pending
	rest := reply
	for i := len(numbers) - 1; i >= 0; i-- {
		dot := strings.LastIndexByte(rest, '.')
		n, err := strconv.ParseUint(rest[dot+1:], 10, 63)
		if err != nil {
			return place{}, false
		}
		numbers[i], rest = n, rest[:dot]
	}
	return place{acks: rest, stream: numbers[1], consumer: numbers[2], time: int64(numbers[3]), pending: numbers[4]}, true
}

// ackSubject is where the message with those numbers is acknowledged. Time and pending are not looked at.
func (f *feed) ackSubject(stream, consumer uint64) string {
	return f.acks + ".1." + strconv.FormatUint(stream, 10) + "." + strconv.FormatUint(consumer, 10) + ".0.0"
}
