package consume

// Stats is what a consumer has done since it was made, and what it holds now.
type Stats struct {
	// Handled, Discarded and Dead messages were finished by a handler, discarded by one, or stored as dead letters.
	Handled, Discarded, Dead uint64
	// Held messages were stored behind a dead letter of their key.
	Held uint64
	// Failed counts attempts that failed, whatever became of the message.
	Failed uint64
	// Skipped deliveries had no reaction.
	Skipped uint64

	// Partitions is how many are held now.
	Partitions int
	// InFlight is how many messages are held now: fetched and not finished. Bytes is their size.
	InFlight, Bytes int
	// Running of them are in the hands of handlers.
	Running int
	// Retrying of them wait for their next attempt.
	Retrying int
	// Open says that the breaker has stopped all handling.
	Open bool
}

// Stats returns the counters. They are of one moment.
func (c *Consumer) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.total
	s.Partitions, s.Open = len(c.partitions), c.circuit.open
	for p := range c.partitions {
		s.InFlight += p.held
		s.Bytes += p.bytes
		s.Running += p.count[running]
		s.Retrying += p.count[waiting]
	}
	return s
}

func (s *Stats) count(o outcome) {
	if o.failed {
		s.Failed++
	}
	switch o.end {
	case handled:
		s.Handled++
	case discarded:
		s.Discarded++
	case buried:
		s.Dead++
	case kept:
		s.Held++
	case again:
	}
}
