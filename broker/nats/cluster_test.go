//go:build unix

package nats_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/brokertest"
	"github.com/tidings-go/tidings/broker/nats"
	"github.com/tidings-go/tidings/internal/testenv"
)

// cluster is three nats-servers in this process.
type cluster struct {
	nodes []*natsServer
	next  int
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	var routes []string
	var held []net.Listener // until the node is started, so that nobody else gets its port
	for range 3 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, listener)
		routes = append(routes, "nats://"+listener.Addr().String())
	}
	c := &cluster{}
	for i, listener := range held {
		port := listener.Addr().(*net.TCPAddr).Port
		_ = listener.Close()
		c.nodes = append(c.nodes, startServer(t, func(o *server.Options) {
			o.ServerName, o.SyncAlways = fmt.Sprint("node", i), false
			o.Cluster = server.ClusterOpts{Name: "cluster", Host: "127.0.0.1", Port: port}
			o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		}))
	}
	// All at once: who is alone waits for the others.
	t.Cleanup(func() {
		var stopping sync.WaitGroup
		for _, n := range c.nodes {
			stopping.Go(n.stop)
		}
		stopping.Wait()
	})
	c.ready(t)
	return c
}

// ready waits until the cluster has a leader that knows all nodes.
func (c *cluster) ready(tb testing.TB) {
	tb.Helper()
	testenv.Eventually(tb, 30*time.Second, func() error {
		for _, n := range c.nodes {
			if n.now.JetStreamIsLeader() && len(n.now.JetStreamClusterPeers()) == len(c.nodes) {
				return nil
			}
		}
		return fmt.Errorf("the cluster has no leader")
	})
}

func (c *cluster) url() string {
	var urls []string
	for _, n := range c.nodes {
		urls = append(urls, n.url())
	}
	return strings.Join(urls, ",")
}

// restart restarts one node after the other.
func (c *cluster) restart(tb testing.TB) {
	tb.Helper()
	c.nodes[c.next%len(c.nodes)].restart()
	c.next++
	c.ready(tb)
}

func TestConformanceCluster(t *testing.T) {
	c := startCluster(t)
	b := open(t, c.url(), nats.Config{})
	apply(t, b, broker.Topic{Name: "replicated"})
	stream, err := raw(t, c.nodes[0]).Stream(t.Context(), "tidings_replicated")
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().Config.Replicas; n != 3 {
		t.Fatalf("a topic has %d replicas on a cluster of three", n)
	}
	f := fixture(c.url)
	f.Missing = inThisProcess()
	f.Restart = func(tb testing.TB) { tb.Helper(); c.restart(tb) }
	f.HandOver = time.Minute // Three servers that agree on everything are slow on a busy machine.
	brokertest.Run(t, f)
}
