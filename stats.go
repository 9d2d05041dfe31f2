package tidings

import (
	"cmp"
	"slices"

	"github.com/tidings-go/tidings/internal/consume"
)

// SubscriptionStats is what one subscription has done in this process since Run began, and what it holds now.
type SubscriptionStats struct {
	// Subscription is its name.
	Subscription string
	// Handled, Discarded and Dead messages are finished: by a reaction, by one that said Discard, or as dead letters.
	Handled, Discarded, Dead uint64
	// Held messages were stored behind a dead letter of their key, to be handled later: see HoldKey.
	Held uint64
	// Failed counts attempts that failed, whatever became of the message.
	Failed uint64
	// Skipped messages were of types that no reaction names.
	Skipped uint64
	// Partitions are held by this replica now. InFlight messages are fetched and not finished; Running of them are in the hands of
	// reactions, and Retrying wait for their next attempt.
	Partitions, InFlight, Running, Retrying int
	// Open says that the subscription's Breaker has stopped all handling, but for a probe now and then.
	Open bool
}

// Stats returns the counters of every subscription, sorted by name; nothing before Run.
func (a *App) Stats() []SubscriptionStats {
	a.mu.Lock()
	subscribers := slices.Clone(a.checked)
	a.mu.Unlock()
	all := make([]SubscriptionStats, len(subscribers))
	for i, s := range subscribers {
		all[i] = subscriptionStats(s.Name, s.consumer.Stats())
	}
	slices.SortFunc(all, func(x, y SubscriptionStats) int { return cmp.Compare(x.Subscription, y.Subscription) })
	return all
}

func subscriptionStats(name string, s consume.Stats) SubscriptionStats {
	return SubscriptionStats{
		Subscription: name, Handled: s.Handled, Discarded: s.Discarded, Dead: s.Dead, Failed: s.Failed, Skipped: s.Skipped,
		Partitions: s.Partitions, InFlight: s.InFlight, Running: s.Running, Retrying: s.Retrying,
		Held: s.Held, Open: s.Open,
	}
}
