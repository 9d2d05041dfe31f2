package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
)

// member is our part in a group. Its client joins, sends heartbeats and commits; it reads nothing, which is what the source is for.
type member struct {
	b      *Broker
	r      broker.Reader
	each   func(context.Context, broker.Partition)
	source *source
	cl     *kgo.Client
	held   *holding
	dirty  chan struct{}
	ids    map[string][16]byte // of the topics

	// committing is held while positions are sent, so that they are sent in order and never after a partition was let go.
	committing sync.Mutex
}

// join is a member of the reader's group until ctx ends.
func (b *Broker) join(ctx context.Context, s *source, topics []description, r broker.Reader, each func(context.Context, broker.Partition)) error {
	m := &member{b: b, r: r, each: each, source: s, held: newHolding(ctx, b), dirty: make(chan struct{}, 1), ids: map[string][16]byte{}}
	for i := range topics {
		m.ids[topics[i].name] = topics[i].id
	}
	cl, err := b.client(m.options()...)
	if err != nil {
		return err
	}
	m.cl = cl
	committing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	working.Go(func() { m.keepCommitted(committing) })

	failed, fail := context.WithCancelCause(ctx)
	defer context.AfterFunc(b.gone, func() { fail(broker.ErrClosed) })()
	working.Go(func() { fail(m.watch(committing)) })
	// Membership is one of the things to wait for: it ends only with its context.
	m.held.working.Go(func() { <-failed.Done() })
	err = m.held.wait(failed)
	if cause := context.Cause(failed); err == nil && ctx.Err() == nil {
		err = cause
	}
	stop()
	working.Wait()
	m.leave()
	fail(nil)
	return err
}

func (m *member) options() []kgo.Opt {
	cfg := &m.b.cfg
	options := []kgo.Opt{
		kgo.ConsumerGroup(m.r.Group),
		kgo.ConsumeTopics(m.r.Topics...),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(cfg.SessionTimeout/5, time.Second)),
		kgo.RebalanceTimeout(cfg.HandOver + joinMargin),
		kgo.AdjustFetchOffsetsFn(m.assigned),
		kgo.OnPartitionsRevoked(m.revoked),
		kgo.OnPartitionsLost(m.lost),
	}
	if cfg.InstanceID != "" {
		options = append(options, kgo.InstanceID(cfg.InstanceID))
	}
	if cfg.ServerBalancer {
		options = append(options, kgo.ServerSideBalancer())
	}
	return options
}

// assigned begins the tenures of partitions that are ours now. It tells the client to read nothing.
func (m *member) assigned(_ context.Context, committed map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	for topic, partitions := range committed {
		for partition, o := range partitions {
			t := &tenure{place: place{topic, partition}, source: m.source, each: m.each, until: -1, known: -1}
			t.dirty = func() { signal(m.dirty) }
			t.from = func(ctx context.Context) (int64, error) { return m.b.start(ctx, m.r.From, t.place) }
			if position := o.EpochOffset().Offset; position >= 0 {
				t.known = position
			}
			m.held.begin(t)
		}
	}
	return nil, nil
}

// revoked hands partitions over: their readers finish what they have, and where they got to is committed before anybody else begins.
func (m *member) revoked(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	tenures := m.held.get(places(partitions))
	if len(tenures) == 0 {
		return
	}
	for _, t := range tenures {
		t.end()
	}
	deadline := time.NewTimer(m.b.cfg.HandOver)
	defer deadline.Stop()
	for _, t := range tenures {
		select {
		case <-t.done:
			continue
		case <-t.ctx.Done():
			continue
		case <-deadline.C:
			deadline.Reset(0) // for the others
		}
		m.b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "a partition moves to another replica before its handlers have finished",
			slog.String("group", m.r.Group), slog.String("partition", t.String()))
		t.lose(errTooSlow)
	}
	m.release(ctx, tenures)
}

// release commits for the last time. After it, nothing of these tenures is ever committed.
func (m *member) release(ctx context.Context, tenures []*tenure) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	m.committing.Lock()
	defer m.committing.Unlock()
	if err := m.commit(ctx, tenures); err != nil {
		m.b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "positions could not be committed; what was finished since will come again",
			slog.String("group", m.r.Group), slog.String("error", err.Error()))
	}
	for _, t := range tenures {
		t.release()
	}
}

// lost takes partitions away that others may own already. Nothing is committed: the brokers might accept it.
func (m *member) lost(ctx context.Context, _ *kgo.Client, partitions map[string][]int32) {
	tenures := m.held.get(places(partitions))
	for _, t := range tenures {
		t.lose(errLost)
	}
	// A commit that is under way must not be sent after we have joined again: then it would count.
	m.committing.Lock()
	for _, t := range tenures {
		t.release()
	}
	m.committing.Unlock()
	if len(tenures) > 0 {
		m.b.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "partitions were lost, because the group was out of reach or has given this replica up",
			slog.String("group", m.r.Group), slog.Int("partitions", len(tenures)))
	}
}

// watch waits for what makes membership impossible. The client gets over everything else by itself.
func (m *member) watch(ctx context.Context) error {
	last := ""
	for ctx.Err() == nil {
		for _, f := range m.cl.PollFetches(ctx).Errors() {
			var session *kgo.ErrGroupSession
			if !errors.As(f.Err, &session) || ctx.Err() != nil {
				continue
			}
			if isFatal(session.Err) {
				return fmt.Errorf("the group refuses us: %w", explain(session.Err))
			}
			if text := session.Err.Error(); text != last {
				last = text
				m.b.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "the group has to be joined again", slog.String("group", m.r.Group), slog.String("error", text))
			}
		}
	}
	return nil
}

// isFatal reports whether joining again can't help.
func isFatal(err error) bool {
	for _, fatal := range []error{
		kerr.InconsistentGroupProtocol, kerr.InvalidSessionTimeout, kerr.InvalidGroupID, kerr.FencedInstanceID, kerr.GroupMaxSizeReached,
		kerr.UnsupportedVersion, kerr.UnsupportedAssignor, kerr.UnreleasedInstanceID, kerr.InvalidRequest,
	} {
		if errors.Is(err, fatal) {
			return true
		}
	}
	return isRefusal(err)
}

// leave says farewell to the group, so that others take over at once.
func (m *member) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	m.release(ctx, m.held.all())
	if err := m.cl.LeaveGroupContext(ctx); err != nil {
		m.b.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "leaving a group failed; its partitions move when the session times out",
			slog.String("group", m.r.Group), slog.String("error", err.Error()))
	}
	m.cl.CloseAllowingRebalance()
}

func places(partitions map[string][]int32) []place {
	var all []place
	for topic, numbers := range partitions {
		for _, n := range numbers {
			all = append(all, place{topic, n})
		}
	}
	return all
}
