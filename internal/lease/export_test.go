package lease

import (
	"context"
	"time"
)

// RunImpatiently is Run with a member that takes names from others after a time of its own: the negative control.
func RunImpatiently(ctx context.Context, reg Register, cfg Config, patience time.Duration, each func(context.Context, Lease)) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	m := newMember(ctx, reg, cfg, each)
	m.patience = patience
	m.run(ctx)
	return nil
}

// Decode is what reads the cell.
func Decode(value []byte) error {
	t, err := decode(value)
	if err == nil {
		_, err = t.encode()
	}
	return err
}
