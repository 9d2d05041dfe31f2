package payment

import (
	"testing"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/examples/delivery/order"
)

func TestWhatCanBePaid(t *testing.T) {
	o := order.Order{OrderID: "a", Amount: 100, Status: order.Complete}
	if err := payable(o, Pay{Amount: 100}); err != nil {
		t.Errorf("the price of a shipped order: %v", err)
	}
	if err := payable(o, Pay{Amount: 99}); tidings.CodeOf(err) != tidings.CodeConflict {
		t.Errorf("less: %v", err)
	}
	o.Status = order.Abandoned
	if err := payable(o, Pay{Amount: 100}); tidings.CodeOf(err) != tidings.CodeConflict {
		t.Errorf("a cancelled order: %v", err)
	}
}
