package tidings_test

import (
	"context"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidings-go/tidings"
)

// asXML is a codec of somebody else's.
type asXML struct{}

func (asXML) Encode(payload any) ([]byte, error)    { return xml.Marshal(payload) }
func (asXML) Decode(data []byte, payload any) error { return xml.Unmarshal(data, payload) }
func (asXML) ContentType() string                   { return "application/xml" }

func TestAnotherCodec(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		event := tidings.Define[order]("shop", "OrderExported", "v1", tidings.Entity("order"), tidings.WithCodec(asXML{}))
		app := newApp(t)
		app.Emits(event)
		var got inbox[order]
		var place tidings.Place
		var key string
		app.Subscribe(tidings.Subscription{Name: "import"}, tidings.On(event, func(ctx context.Context, o order) error {
			place, _ = tidings.PlaceFrom(ctx)
			key = tidings.IdempotencyKey(ctx)
			return got.take(ctx, o)
		}))
		stop := run(t, app)
		defer stop()
		m := event.New(order{"a", 1})
		if err := app.Direct().Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if all := got.all(); len(all) != 1 || all[0] != (order{"a", 1}) || !strings.HasPrefix(string(m.Data), "<order>") {
			t.Errorf("got %v of %s", all, m.Data)
		}
		if place.Topic != ordersTopic {
			t.Errorf("the message came from %+v", place)
		}
		if key != "shop.import:/shop:"+m.ID {
			t.Errorf("idempotency key %q", key)
		}
		m.ContentType = "application/json"
		if _, err := event.In(m); err == nil {
			t.Error("read JSON as XML")
		}
	})
	if _, ok := tidings.PlaceFrom(t.Context()); ok || tidings.IdempotencyKey(t.Context()) != "" {
		t.Error("there is no message here")
	}
	if _, ok := tidings.MessageFrom(t.Context()); ok {
		t.Error("there is no message here")
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	m := placed.New(order{"a", 1})
	for contentType, ok := range map[string]bool{
		"": true, "application/json": true, "application/json; charset=utf-8": true, "application/vnd.shop+json": true, "text/json": true,
		"application/xml": false, "nonsense;;": false,
	} {
		m.ContentType = contentType
		if _, err := placed.In(m); (err == nil) != ok {
			t.Errorf("content type %q: %v", contentType, err)
		}
	}
}

// A batch that says that it is still at work is not cut off.
func TestInProgressExtendsTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t)
		app.Emits(placed)
		var ended inbox[error]
		app.Subscribe(tidings.Subscription{Name: "slow", Timeout: time.Second}, tidings.OnBatch(placed, tidings.Batch{Size: 1},
			func(ctx context.Context, batch []*tidings.Delivery[order]) error {
				for range 5 {
					select {
					case <-time.After(800 * time.Millisecond):
						batch[0].InProgress()
					case <-ctx.Done():
						ended.add(ctx.Err())
						return errors.New("cut off")
					}
				}
				ended.add(nil)
				return nil
			}))
		stop := run(t, app)
		defer stop()
		if err := placed.Publish(t.Context(), app.Direct(), order{"a", 1}); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if all := ended.all(); len(all) != 1 || all[0] != nil {
			t.Errorf("the batch ended with %v", all)
		}
	})
}
