package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidings-go/tidings/examples/internal/program"

	"github.com/google/uuid"
)

// shoppers is how many clients send requests at once: databases commit together what comes together.
const shoppers = 32

// patience is for how long a request is sent again when it fails for want of a service.
const patience = time.Minute

// load makes requests over HTTP as fast as possible, waits until everything has come to rest, and reports.
func (s *shop) load(ctx context.Context, o options, out io.Writer) error {
	l := newLoad(s.web.URL())
	l.run(ctx, o.Load)
	r, err := s.reportAtRest(ctx, l)
	if err != nil {
		return err
	}
	return o.Print(out, &r)
}

// load is what clients share. What they were told is done is held against what is there in the end.
type load struct {
	client *http.Client
	left   atomic.Int64 // requests to make

	mu     sync.Mutex
	urls   map[string]string // of services
	lasted time.Duration
	took   []time.Duration
	failed int
	again  int
	// changes and views are how many requests of each customer and product were answered with success.
	changes, views map[uuid.UUID]int64
}

func newLoad(url string) *load {
	return &load{
		urls:    map[string]string{customers: url, products: url},
		client:  program.Client(shoppers),
		changes: map[uuid.UUID]int64{}, views: map[uuid.UUID]int64{},
	}
}

// run makes requests until there were n.
func (l *load) run(ctx context.Context, n int) {
	defer l.client.CloseIdleConnections()
	l.left.Store(int64(n))
	began := time.Now()
	var workers sync.WaitGroup
	for range shoppers {
		workers.Go(func() { l.visit(ctx) })
	}
	workers.Wait()
	l.lasted = time.Since(began)
}

// call is a request that a client makes.
type call struct {
	role, path string
	id         uuid.UUID
	body       map[string]any
}

// visit lives through a customer and a product, and begins again. Each waits for one answer before the next request.
func (l *load) visit(ctx context.Context) {
	var plan []call
	for l.left.Add(-1) >= 0 && ctx.Err() == nil {
		if len(plan) == 0 {
			plan = append(life(customers, "/customers", "customer_id"), life(products, "/products", "product_id")...)
		}
		began := time.Now()
		retries, err := l.insist(ctx, plan[0])
		l.note(plan[0], time.Since(began), retries, err)
		plan = plan[1:]
	}
}

// life is what happens to a new customer or product.
func life(role, path, idName string) []call {
	id := uuid.New()
	do := func(what string, details bool) call {
		body := map[string]any{idName: id}
		if details {
			body["name"] = fmt.Sprint("No. ", rand.IntN(1000))
			if role == customers {
				body["email"] = "load@example.com"
				body["addresses"] = slices.Repeat([]map[string]string{{"street": "Long Road", "city": "Kiel"}}, rand.IntN(3))
			} else {
				body["price"] = 1 + rand.IntN(10_000)
			}
		}
		return call{role, path + what, id, body}
	}
	plan := []call{do("", true)}
	for range 1 + rand.IntN(4) {
		plan = append(plan, do("/update", true))
		if role == products {
			plan = append(plan, do(view, false))
		}
	}
	if rand.IntN(3) == 0 {
		plan = append(plan, do("/delete", false))
	}
	return plan
}

const view = "/view"

// insist makes a request until it is answered. All attempts have the same idempotency key, so that the command takes effect once.
func (l *load) insist(ctx context.Context, c call) (retries int, err error) {
	key, deadline := uuid.NewString(), time.Now().Add(patience)
	for {
		status, _, err := program.Post(ctx, l.client, l.url(c.role)+c.path, key, c.body)
		if err == nil || status != 0 && status < http.StatusInternalServerError || time.Now().After(deadline) {
			return retries, err
		}
		retries++
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return retries, err
		}
	}
}

// url is where a service is now.
func (l *load) url(role string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.urls[role]
}

func (l *load) note(c call, took time.Duration, retries int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, took)
	l.again += retries
	switch {
	case err != nil:
		l.failed++
	case c.path == "/products"+view:
		l.views[c.id]++
	default:
		l.changes[c.id]++
	}
}

// done is how many requests were answered so far.
func (l *load) done() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.took)
}

// fill tells how fast it went.
func (l *load) fill(s *summary) {
	s.Requests, s.Failed, s.Again, s.Speed = len(l.took), l.failed, l.again, program.SpeedOf(l.took, l.lasted)
}
