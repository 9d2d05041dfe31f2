//go:build unix

package nats

import (
	"context"
	"errors"
	"time"

	"github.com/tidings-go/tidings/broker"
)

// EstablishTwice opens partition 0 of a topic for a group with that epoch, as if its first attempt had failed right after its last step,
// and returns the name of the consumer that the second one made.
func (b *Broker) EstablishTwice(ctx context.Context, topic, group string, epoch uint64) (string, error) {
	sources, err := b.sources(ctx, broker.Reader{Group: group, Topics: []string{topic}})
	if err != nil {
		return "", err
	}
	p := newPartition(b, sources[0][0], epoch, nil)
	p.ctx = ctx
	_, err1 := p.establish(10 * time.Second)
	name, err2 := p.establish(10 * time.Second)
	return name, errors.Join(err1, err2)
}
