package memory_test

import (
	"context"
	"fmt"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/memory"
)

func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	b := memory.New(memory.Config{})
	defer b.Close()
	if _, err := b.Topics(ctx, broker.Apply, broker.Topic{Name: "orders"}); err != nil {
		fmt.Println(err)
	}
	b.Publish(ctx, []broker.Record{{Topic: "orders", Key: "42", Value: []byte("placed")}}, func(_ int, r broker.Receipt, err error) {
		fmt.Println("stored as", r.Sequence, err)
	})
	err := b.Consume(ctx, broker.Reader{Group: "shop.mailer", Topics: []string{"orders"}}, func(ctx context.Context, p broker.Partition) {
		for {
			deliveries, err := p.Fetch(ctx, 256, 4<<20)
			if err != nil {
				return
			}
			for _, d := range deliveries {
				fmt.Printf("order %s was %s\n", d.Key, d.Value)
			}
			if err := p.Settle(ctx, broker.Settlement{Next: deliveries[len(deliveries)-1].Sequence + 1}); err != nil {
				fmt.Println(err)
			}
			cancel()
		}
	})
	fmt.Println("ended with", err)
	// Output:
	// stored as 1 <nil>
	// order 42 was placed
	// ended with <nil>
}
