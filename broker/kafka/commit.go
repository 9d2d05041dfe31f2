package kafka

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// keepCommitted commits what is settled: the first after a quiet time at once, then what gathers meanwhile.
func (m *member) keepCommitted(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.dirty:
		}
		m.committing.Lock()
		err := m.commit(ctx, m.held.all())
		m.committing.Unlock()
		if err != nil {
			signal(m.dirty)
			if ctx.Err() == nil {
				m.b.cfg.Log.LogAttrs(ctx, slog.LevelDebug, "positions could not be committed; they will be with the next ones",
					slog.String("group", m.r.Group), slog.String("error", err.Error()))
			}
		}
		if !pause(ctx, commitEvery) {
			return
		}
	}
}

// commit tells the group the positions of tenures that are still ours. Committing is locked.
//
// The request is made here, because the client's own waits while the group is being joined, which can take as long as the session timeout. The coordinator knows better
// whether we may commit: it compares the generation, which is the one that the tenures are of.
func (m *member) commit(ctx context.Context, tenures []*tenure) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = m.r.Group
	req.MemberID, req.Generation = m.cl.GroupMetadata()
	if m.b.cfg.InstanceID != "" {
		req.InstanceID = &m.b.cfg.InstanceID
	}
	sent := make(map[*tenure]int64)
	for _, t := range tenures {
		if position, ok := t.uncommitted(); ok {
			sent[t] = position
			m.add(req, t.place, position)
		}
	}
	if len(sent) == 0 {
		return nil
	}
	resp, err := req.RequestWith(ctx, m.cl)
	if err != nil {
		return err
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			err = errors.Join(err, kerr.ErrorForCode(resp.Topics[i].Partitions[j].ErrorCode))
		}
	}
	if err == nil {
		for t, position := range sent {
			t.setCommitted(position)
		}
	}
	return err
}

func (m *member) add(req *kmsg.OffsetCommitRequest, at place, position int64) {
	n := slices.IndexFunc(req.Topics, func(t kmsg.OffsetCommitRequestTopic) bool { return t.Topic == at.topic })
	if n < 0 {
		n = len(req.Topics)
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = at.topic, m.ids[at.topic]
		req.Topics = append(req.Topics, t)
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = at.partition, position
	req.Topics[n].Partitions = append(req.Topics[n].Partitions, p)
}
