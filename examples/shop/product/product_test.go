package product_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/shop/contract"
	"github.com/tidings-go/tidings/examples/shop/product"
	"github.com/tidings-go/tidings/internal/testenv"
)

// start runs a product service, and returns what is on its topic. Nothing relays its outbox.
func start(t *testing.T, noRelay bool) (app *tidings.App, types func() []string) {
	t.Helper()
	s := trial.Store(t, product.Schema)
	b := memory.New(memory.Config{})
	app = tidings.New(tidings.Config{
		Service: "products", Owns: []string{product.Domain}, Broker: b, Store: s, Topology: tidings.Fixed{}, NoRelay: noRelay,
	})
	product.Add(app, s.DB())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended, listening := make(chan error, 2), make(chan struct{})
	go func() { ended <- app.Run(ctx) }()
	var mu sync.Mutex
	var heard []string
	<-app.Ready()
	go func() {
		ended <- b.Listen(ctx, broker.Listener{Topics: []string{product.Topic}, Ready: func() { close(listening) }}, func(r broker.Record) {
			mu.Lock()
			defer mu.Unlock()
			typ, _ := r.Header("ce-type")
			heard = append(heard, typ)
		})
	}()
	<-listening
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, <-ended, b.Close()); err != nil {
			t.Error(err)
		}
	})
	return app, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(heard)
	}
}

var teapot = product.Details{Name: "Teapot", Price: 4200}

func TestALifeOfAProduct(t *testing.T) {
	t.Parallel()
	app, types := start(t, false)
	ctx := t.Context()
	made, err := product.CreateProduct.Call(ctx, app, product.Create{Details: teapot})
	if err != nil || made.ProductID == uuid.Nil || made.Revision != 1 {
		t.Fatalf("%+v, %v", made, err)
	}
	id := made.ProductID
	if _, err = product.CreateProduct.Call(ctx, app, product.Create{ProductID: id, Details: teapot}); tidings.CodeOf(err) != tidings.CodeConflict {
		t.Errorf("made twice: %v", err)
	}
	if _, err = product.CreateProduct.Call(ctx, app, product.Create{}); tidings.CodeOf(err) != tidings.CodeInvalid || !strings.Contains(err.Error(), "price: want cents") {
		t.Errorf("made of nothing: %v", err)
	}
	changed, err := product.UpdateProduct.Call(ctx, app, product.Update{ProductID: id, Details: product.Details{Name: "Pot", Price: 1}})
	if found, failed := product.FindProduct.Call(ctx, app, product.Find{ProductID: id}); errors.Join(err, failed) != nil || changed != found || found.Revision != 2 || found.Name != "Pot" {
		t.Errorf("%+v, %+v, %v, %v", changed, found, err, failed)
	}
	if gone, err := product.DeleteProduct.Call(ctx, app, product.Delete{ProductID: id}); err != nil || gone.Revision != 3 || !gone.Deleted {
		t.Errorf("%+v, %v", gone, err)
	}
	_, find := product.FindProduct.Call(ctx, app, product.Find{ProductID: id})
	_, update := product.UpdateProduct.Call(ctx, app, product.Update{ProductID: id, Details: teapot})
	_, view := product.ViewProduct.Call(ctx, app, product.View{ProductID: id})
	for _, err := range []error{find, update, view} {
		if tidings.CodeOf(err) != tidings.CodeNotFound {
			t.Errorf("of one that is gone: %v", err)
		}
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if got := types(); !slices.Equal(got, []string{"product.created", "product.updated", "product.deleted"}) {
			return errors.New(strings.Join(got, " "))
		}
		return nil
	})
}

// A view goes to the broker while what has to do with rows waits for a relay.
func TestAViewNeedsNoTransaction(t *testing.T) {
	t.Parallel()
	app, types := start(t, true)
	made, err := product.CreateProduct.Call(t.Context(), app, product.Create{Details: teapot})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := product.ViewProduct.Call(t.Context(), app, product.View{ProductID: made.ProductID})
	if err != nil || stored.Topic != product.Topic {
		t.Errorf("%+v, %v", stored, err)
	}
	testenv.Eventually(t, 20*time.Second, func() error {
		if got := types(); !slices.Equal(got, []string{"product.viewed"}) {
			return errors.New(strings.Join(got, " "))
		}
		return nil
	})
}

func TestTheContractsDecoderRefuses(t *testing.T) {
	t.Parallel()
	p := product.Product{ProductID: uuid.New(), Details: teapot, Revision: 2}
	view := product.ProductViewed.New(product.Viewed{ProductID: p.ProductID})
	for _, m := range []tidings.Message{product.NewCreated(p), product.NewUpdated(p), product.NewDeleted(p), view} {
		if payload, err := product.Decode(m); err != nil || payload == nil {
			t.Errorf("%s: %v, %v", m.Type, payload, err)
		}
		m.Type = "customer" + strings.TrimPrefix(m.Type, "product")
		if _, err := product.Decode(m); !errors.Is(err, contract.ErrForeign) {
			t.Errorf("%s: %v", m.Type, err)
		}
	}
	p.Price = 0
	if _, err := product.Decode(product.NewCreated(p)); err == nil || !strings.Contains(err.Error(), "price") {
		t.Errorf("for nothing: %v", err)
	}
	if _, err := product.Decode(product.ProductViewed.New(product.Viewed{})); err == nil || !strings.Contains(err.Error(), "product_id: want one") {
		t.Errorf("a view of nothing: %v", err)
	}
}

// Whatever comes is refused or an event, and never both.
func FuzzDecode(f *testing.F) {
	for _, typ := range []product.Type{product.TypeCreated, product.TypeUpdated, product.TypeDeleted, product.TypeViewed, "customer.created"} {
		f.Add(string(typ), []byte(`{"product_id":"0b000000-0000-4000-8000-000000000001","revision":2,"name":"Teapot","price":4200}`))
	}
	f.Fuzz(func(t *testing.T, typ string, data []byte) {
		payload, err := product.Decode(tidings.Message{Type: typ, ContentType: "application/json", Data: data})
		if (payload == nil) == (err == nil) {
			t.Errorf("%v, %v", payload, err)
		}
	})
}
