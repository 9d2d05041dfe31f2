package embedded_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/embedded"
	"github.com/tidings-go/tidings/store"
)

func open(t *testing.T, dir string) *embedded.Node {
	t.Helper()
	n, err := embedded.Open(t.Context(), dir, embedded.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func closeNode(t *testing.T, n *embedded.Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatWasStoredIsThereAfterReopening(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	n := open(t, dir)
	topic := broker.Topic{Name: "orders", Partitions: 1}
	if _, err := n.Broker().Topics(t.Context(), broker.Apply, topic); err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, 1)
	n.Broker().Publish(t.Context(), []broker.Record{{Topic: "orders", Key: "a", Value: []byte("1")}}, func(_ int, _ broker.Receipt, err error) { stored <- err })
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	if err := n.Store().Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := n.Store().InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
		return tx.StoreTx().Append(ctx, store.Row{Record: broker.Record{Topic: "orders", Value: []byte("2")}})
	})
	if err != nil {
		t.Fatal(err)
	}
	closeNode(t, n)

	n = open(t, dir)
	defer closeNode(t, n)
	states, err := n.Broker().Topics(t.Context(), broker.Inspect, topic)
	if err != nil || states[0].Messages != 1 {
		t.Errorf("topics %+v, %v", states, err)
	}
	rows := 0
	for _, err := range n.Store().List(t.Context(), store.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows != 1 {
		t.Errorf("%d rows, want 1", rows)
	}
}

func TestAFolderHasOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := open(t, dir)
	if _, err := embedded.Open(t.Context(), dir, embedded.Config{}); !errors.Is(err, embedded.ErrInUse) {
		t.Errorf("a second Open: %v", err)
	}
	closeNode(t, n)
	closeNode(t, open(t, dir))
}

// Others reach the running broker by the file in the folder, and only who can read that file.
func TestAttach(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := embedded.Attach(t.Context(), dir); !errors.Is(err, embedded.ErrNotRunning) {
		t.Errorf("attached to nothing: %v", err)
	}
	n := open(t, dir)
	nc, err := embedded.Attach(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if rtt, err := nc.RTT(); err != nil {
		t.Errorf("the connection answers in %v: %v", rtt, err)
	}
	url := nc.ConnectedUrl()
	nc.Close()
	if intruder, err := natsgo.Connect(url); err == nil {
		intruder.Close()
		t.Error("connected without the token")
	}
	if info, err := os.Stat(filepath.Join(dir, "endpoint.json")); err != nil || (runtime.GOOS != "windows" && info.Mode().Perm() != 0o600) {
		t.Errorf("the endpoint's file: %v, %v", info, err)
	}
	closeNode(t, n)
	if _, err := embedded.Attach(t.Context(), dir); !errors.Is(err, embedded.ErrNotRunning) {
		t.Errorf("attached to a closed node: %v", err)
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	if _, err := embedded.Open(t.Context(), "", embedded.Config{}); err == nil {
		t.Error("opened a folder without a name")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Open(t.Context(), file, embedded.Config{}); err == nil {
		t.Error("opened a file as a folder")
	}
}

// A server that can't start says why, and does so at once.
func TestOpenSaysWhyTheBrokerDoesNotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nats"), []byte("a file where a folder must be"), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	_, err := embedded.Open(t.Context(), dir, embedded.Config{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "nats") || time.Since(begun) > 20*time.Second {
		t.Errorf("Open = %v after %v", err, time.Since(begun))
	}
}
