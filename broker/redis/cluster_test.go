//go:build unix

package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/redis"
	"github.com/tidings-go/tidings/internal/testenv"
)

func TestCluster(t *testing.T) {
	t.Parallel()
	url, _ := startCluster(t, 3, 0)
	b := open(t, url, redis.Config{})
	apply(t, b, broker.Topic{Name: "orders", Partitions: 8}, broker.Topic{Name: "other"})
	d := &desk{t: t, b: b, topic: "orders"}
	d.publish(1, 50)
	d.read().expect(t, 1, 50)
	states, err := b.Topics(t.Context(), broker.Survey)
	if err != nil || len(states) != 2 || states[0].Messages != 50 || len(states[0].Readers) != 1 {
		t.Errorf("a survey finds %+v, %v", states, err)
	}
	question := broker.Record{Topic: "other", Headers: []broker.Header{{Name: broker.ReplyTo, Value: "answers"}}}
	if err := b.Live(t.Context(), []broker.Record{question}); !errors.Is(err, broker.ErrNoListener) {
		t.Errorf("asked nobody: %v", err)
	}
	asked, ready := make(chan broker.Record, 1), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- open(t, url, redis.Config{}).Listen(ctx, broker.Listener{Topics: []string{"other"}, Group: "g", Ready: func() { close(ready) }},
			func(r broker.Record) { asked <- r })
	}()
	<-ready
	if err := b.Live(t.Context(), []broker.Record{question}); err != nil {
		t.Errorf("asked somebody: %v", err)
	}
	<-asked
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestConformanceCluster(t *testing.T) {
	if !testenv.Soak() {
		return // it takes long
	}
	url, _ := startCluster(t, 3, 0)
	brokertest.Run(t, fixture(func() string { return url }))
}

func TestClusterFailover(t *testing.T) {
	if !testenv.Soak() {
		return // it takes long
	}
	url, servers := startCluster(t, 3, 1)
	b := open(t, url, redis.Config{})
	apply(t, b, broker.Topic{Name: "orders", Partitions: 8})
	for _, master := range servers[:3] {
		waitForReplica(t, b, master)
	}
	d := &desk{t: t, b: b, topic: "orders"}
	r := d.read()
	d.publish(1, 100)
	r.expect(t, 1, 100)
	for _, master := range servers[:3] {
		_ = raw(t, master).Wait(t.Context(), 1, patience).Err()
	}
	servers[0].kill()
	d.publish(101, 200)
	r.expect(t, 1, 200)
}

// startCluster starts masters and replicas, and returns the cluster's URL and its servers, masters first.
func startCluster(t *testing.T, masters, replicasOfEach int) (string, []*server) {
	t.Helper()
	args := []string{"--cluster", "create"}
	var servers []*server
	for range masters * (1 + replicasOfEach) {
		s := startServer(t, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000"}, clusterBus(t)...)...)
		args, servers = append(args, s.address()), append(servers, s)
	}
	addresses := args[2:]
	args = append(args, "--cluster-replicas", fmt.Sprint(replicasOfEach), "--cluster-yes")
	if said, err := exec.CommandContext(t.Context(), "redis-cli", args...).CombinedOutput(); err != nil {
		t.Fatalf("create a cluster: %v\n%s", err, said)
	}
	testenv.Eventually(t, patience, func() error {
		for _, address := range addresses {
			said, err := exec.CommandContext(t.Context(), "redis-cli", "-u", "redis://"+address, "cluster", "info").CombinedOutput()
			if err != nil || !strings.Contains(string(said), "cluster_state:ok") {
				return fmt.Errorf("the cluster is not ready: %w\n%s", err, said)
			}
		}
		return nil
	})
	return "redis+cluster://" + strings.Join(addresses, ","), servers
}

// clusterBus has the servers of a cluster talk on a port that is free, and not on their own plus 10,000.
func clusterBus(t *testing.T) []string {
	t.Helper()
	return []string{"--cluster-port", fmt.Sprint(testenv.FreePort(t))}
}

// A failover may lose what was acknowledged last, which is not looked for here: publishing and reading go on, and keys keep their order.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	const quorum = 2
	master := startServer(t, durable...)
	startServer(t, append([]string{"--replicaof", "127.0.0.1 " + fmt.Sprint(master.port)}, durable...)...)
	var sentinels []string
	for range 3 {
		sentinels = append(sentinels, startSentinel(t, master, quorum).address())
	}
	url := "redis+sentinel://" + strings.Join(sentinels, ",") + "/main"
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	b := open(t, url, redis.Config{PublishTimeout: 20 * time.Second, Log: log})
	apply(t, b, broker.Topic{Name: "orders", Partitions: 2})
	d := &desk{t: t, b: b, topic: "orders"}
	r := d.read()
	d.publish(1, 100)
	r.expect(t, 1, 100)
	waitForReplica(t, b, master)

	master.kill()
	d.publish(101, 200)
	r.expect(t, 1, 200)
	if states := apply(t, b, broker.Topic{Name: "orders"}); states[0].Messages != 200 {
		t.Errorf("the new master has %d records", states[0].Messages)
	}
}

// waitForReplica waits until the replica has everything.
func waitForReplica(t *testing.T, b *redis.Broker, master *server) {
	t.Helper()
	testenv.Eventually(t, patience, func() error {
		if s := apply(t, b, broker.Topic{Name: "orders", Replication: 2})[0]; len(s.Diff) > 0 {
			return fmt.Errorf("the replica is not there yet: %v", s.Diff)
		}
		return nil
	})
	if n := raw(t, master).Wait(t.Context(), 1, patience).Val(); n != 1 {
		t.Fatal("the replica does not follow")
	}
}

func startSentinel(t *testing.T, master *server, quorum int) *server {
	t.Helper()
	s := &server{tb: t, port: testenv.FreePort(t), dir: t.TempDir()}
	config := s.writeConfig("sentinel.conf", fmt.Sprintf(`port %d
bind 127.0.0.1
dir %s
sentinel monitor main 127.0.0.1 %d %d
sentinel down-after-milliseconds main 500
sentinel failover-timeout main 3000
`, s.port, s.dir, master.port, quorum))
	s.run("redis-sentinel", config)
	t.Cleanup(s.kill)
	return s
}
