package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/internal/program"
)

// shoppers is how many customers send requests at once: databases commit together what comes together.
const shoppers = 32

// load makes requests over HTTP as fast as possible, waits until everything has come to rest, and reports.
func (s *system) load(ctx context.Context, o options, out io.Writer) error {
	l := &load{url: s.web.URL(), client: program.Client(shoppers)}
	defer l.client.CloseIdleConnections()
	l.left.Store(int64(o.Load))
	began := time.Now()
	var workers sync.WaitGroup
	for range shoppers {
		workers.Go(func() { l.shop(ctx) })
	}
	workers.Wait()
	took := time.Since(began)
	if err := program.Rest(ctx, []*tidings.App{s.app}, s.Store); err != nil {
		return err
	}
	r, err := s.report(ctx)
	if err != nil {
		return err
	}
	r.Requests, r.Failed, r.Speed = len(l.took), l.failed, program.SpeedOf(l.took, took)
	return o.Print(out, &r)
}

// load is what shoppers share.
type load struct {
	url    string
	client *http.Client
	left   atomic.Int64 // requests to make

	mu     sync.Mutex
	took   []time.Duration
	failed int
}

// shopper orders, pays, and has everything shipped, or cancels; and begins again.
type shopper struct {
	id     string
	amount int
	// plan are the paths that come next.
	plan []string
}

func (l *load) shop(ctx context.Context) {
	var s shopper
	for l.left.Add(-1) >= 0 && ctx.Err() == nil {
		path, body := s.next()
		began := time.Now()
		_, _, err := program.Post(ctx, l.client, l.url+path, "", body)
		l.note(time.Since(began), err)
	}
}

func (s *shopper) next() (path string, body map[string]any) {
	if len(s.plan) == 0 {
		parcels := 1 + rand.IntN(5)
		s.id, s.amount = uuid.NewString(), 1+rand.IntN(100_00)
		s.plan = append([]string{"/payments"}, slices.Repeat([]string{"/orders/ship"}, parcels)...)
		if rand.IntN(10) == 0 {
			s.plan = []string{"/orders/cancel"}
		}
		items := slices.Repeat([]string{"cup"}, parcels)
		return "/orders", map[string]any{"order_id": s.id, "customer_id": "load", "amount": s.amount, "currency": "EUR", "items": items}
	}
	path, s.plan = s.plan[0], s.plan[1:]
	body = map[string]any{"order_id": s.id}
	switch path {
	case "/payments":
		body["amount"] = s.amount
	case "/orders/cancel":
		body["reason"] = "changed my mind"
	}
	return path, body
}

func (l *load) note(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, took)
	if err != nil {
		l.failed++
	}
}
