package tidings_test

import (
	"testing"

	"github.com/tidings-go/tidings"
	brokermemory "github.com/tidings-go/tidings/broker/memory"
	storememory "github.com/tidings-go/tidings/store/memory"
)

func TestToolsFindBrokerAndStore(t *testing.T) {
	b, s := brokermemory.New(brokermemory.Config{}), storememory.New()
	if a := tidings.New(tidings.Config{Service: "shop", Broker: b, Store: s}); a.Broker() != b || a.Store() != s {
		t.Errorf("got %v and %v", a.Broker(), a.Store())
	}
	if a := tidings.New(tidings.Config{Service: "shop"}); a.Broker() != nil || a.Store() != nil {
		t.Errorf("got %v and %v of an app that has none", a.Broker(), a.Store())
	}
}
