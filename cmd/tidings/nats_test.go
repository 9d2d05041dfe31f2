package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tidings-go/tidings/internal/testenv"
)

// serveArgument makes this test binary a nats-server: what is killed must be a process of its own.
const serveArgument = "serve-nats"

// natsNode says what a nats-server is to be. One of a cluster has a name and routes.
type natsNode struct {
	Port   int
	Dir    string
	Name   string
	Routes []string
	Route  int // the port of its own route
}

func startNATS(t *testing.T) *brokerProcess {
	t.Helper()
	return natsNode{Port: testenv.FreePort(t), Dir: t.TempDir()}.start(t)
}

func (n natsNode) start(t *testing.T) *brokerProcess {
	t.Helper()
	said, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	p := &brokerProcess{t: t, url: fmt.Sprint("nats://127.0.0.1:", n.Port), start: func(p *brokerProcess) *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), os.Args[0], serveArgument, string(said))
		if _, err := cmd.StdinPipe(); err != nil {
			p.t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			p.t.Fatal(err)
		}
		if err = cmd.Start(); err != nil {
			p.t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); strings.TrimSpace(line) != "ready" {
			p.t.Fatalf("nats-server did not start: %q, %v", line, err)
		}
		return cmd
	}}
	p.run()
	t.Cleanup(p.kill)
	return p
}

// serveNATS runs a nats-server until it is killed, or its parent ends and so closes standard input.
func serveNATS(said string) {
	var n natsNode
	if json.Unmarshal([]byte(said), &n) != nil {
		os.Exit(1)
	}
	options := &server.Options{Host: "127.0.0.1", Port: n.Port, JetStream: true, StoreDir: n.Dir, SyncAlways: true, NoLog: true, NoSigs: true, ServerName: n.Name}
	if len(n.Routes) > 0 {
		options.SyncAlways = false // what is killed is a process, not the machine
		options.Cluster = server.ClusterOpts{Name: "tidings", Host: "127.0.0.1", Port: n.Route}
		for _, route := range n.Routes {
			if u, err := url.Parse(route); err == nil {
				options.Routes = append(options.Routes, u)
			}
		}
	}
	s, err := server.NewServer(options)
	if err != nil {
		os.Exit(1)
	}
	s.Start()
	if s.ReadyForConnections(20 * time.Second) {
		fmt.Println("ready")
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	os.Exit(0)
}

// natsCluster is three nats-servers. The one that leads the stream of a topic can be killed.
type natsCluster struct {
	t     *testing.T
	url   string
	nodes map[string]*brokerProcess
	dead  *brokerProcess
}

func startNATSCluster(t *testing.T) *natsCluster {
	t.Helper()
	const size = 3
	c := &natsCluster{t: t, nodes: make(map[string]*brokerProcess, size)}
	nodes, routes := make([]natsNode, size), make([]string, size)
	for i := range nodes {
		nodes[i] = natsNode{Port: testenv.FreePort(t), Dir: t.TempDir(), Name: fmt.Sprint("node", i), Route: testenv.FreePort(t)}
		routes[i] = fmt.Sprint("nats://127.0.0.1:", nodes[i].Route)
	}
	urls := make([]string, size)
	for i, n := range nodes {
		n.Routes = routes
		p := n.start(t)
		c.nodes[n.Name], urls[i] = p, p.url
	}
	c.url = strings.Join(urls, ",")
	testenv.Eventually(t, time.Minute, func() error {
		return c.ask(func(ctx context.Context, js jetstream.JetStream) error {
			_, err := js.AccountInfo(ctx)
			return err
		})
	})
	return c
}

// ask asks the servers something.
func (c *natsCluster) ask(question func(context.Context, jetstream.JetStream) error) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
	defer cancel()
	nc, err := natsgo.Connect(c.url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return question(ctx, js)
}

// kill kills the leader of topic events.
func (c *natsCluster) kill() {
	c.t.Helper()
	testenv.Eventually(c.t, time.Minute, func() error {
		return c.ask(func(ctx context.Context, js jetstream.JetStream) error {
			stream, err := js.Stream(ctx, "tidings_events")
			if err != nil {
				return err
			}
			info := stream.CachedInfo()
			if info.Cluster == nil || info.Config.Replicas != len(c.nodes) || c.nodes[info.Cluster.Leader] == nil {
				return errors.New("the stream of topic events has no leader, or no replicas")
			}
			c.dead = c.nodes[info.Cluster.Leader]
			return nil
		})
	})
	c.dead.kill()
}

func (c *natsCluster) run() { c.dead.run() }
