package connect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/connect"
	"github.com/tidings-go/tidings/embedded"
	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
)

// waitForRefusal is for drivers that try for long.
const waitForRefusal = 3 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, cfg connect.Config) *connect.Connection {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	c, err := connect.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, c) })
	return c
}

func closes(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// use stores a record with the broker and a row with the store.
func use(t *testing.T, c *connect.Connection) {
	t.Helper()
	topic := broker.Topic{Name: "connect-test", Partitions: 1}
	if _, err := c.Broker.Topics(t.Context(), broker.Apply, topic); err != nil {
		t.Fatal(err)
	}
	stored := make(chan error, 1)
	c.Broker.Publish(t.Context(), []broker.Record{{Topic: topic.Name, Value: []byte("x")}}, func(_ int, _ broker.Receipt, err error) { stored <- err })
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	if c.Store == nil {
		return
	}
	if err := c.Store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := c.Store.InTx(t.Context(), func(ctx context.Context, tx store.Native) error {
		return tx.StoreTx().Append(ctx, store.Row{Record: broker.Record{Topic: topic.Name}})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenWhatTheURLsName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, tt := range []struct {
		broker, store string
		db            bool
	}{
		{"memory:", "memory:", false},
		{"memory:?partitions=2&retain=100", "sqlite://" + filepath.Join(dir, "a%20b.db"), true},
		{"memory:", "sqlite:" + filepath.Join(dir, "c.db") + "?connections=3&busy_timeout=5s&retention=7d&poll=10ms", true},
		{"embedded:" + filepath.Join(dir, "node") + "?partitions=3&retention=1h&publish_timeout=20s", "embedded:" + filepath.Join(dir, "node") + "?connections=4", true},
		{"memory:", "embedded:" + filepath.Join(dir, "alone"), true},
	} {
		t.Run(tt.broker+" "+tt.store, func(t *testing.T) {
			t.Parallel()
			c := open(t, connect.Config{Broker: tt.broker, Store: tt.store, SQL: tt.db})
			use(t, c)
			if (c.DB != nil) != tt.db {
				t.Errorf("the database is %v", c.DB)
			}
			closes(t, c)
			closes(t, c)
		})
	}
}

func TestOpenRealServers(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		testenv.NATS(t) + "?partitions=2&retention=1h&replicas=1&lease_ttl=5s&duplicate_window=3m&publish_timeout=10s",
		testenv.Redis(t) + "?partitions=2&retention=1h&max_records=1000&lease_ttl=5s&publish_timeout=10s&client_name=me&pool_size=20&dial_timeout=3s",
		testenv.Kafka(t) + "?partitions=2&retention=1h&replication=1&client_id=me&compression=zstd&session_timeout=10s&hand_over=20s&server_balancer=false&publish_timeout=10s",
	} {
		b, err := connect.Broker(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		use(t, &connect.Connection{Broker: b})
		closes(t, b)
	}
}

func TestOpenPostgreSQL(t *testing.T) {
	t.Parallel()
	schema := fmt.Sprintf("connect_%d", time.Now().UnixNano())
	url := testenv.Postgres(t) + "&schema=" + schema + "&retention=7d&max_rows=1000&max_age=1h&max_bytes=100000&poll=100ms&lease=5s&pool_max_conns=5&search_path=" + schema
	c := open(t, connect.Config{Broker: "memory:", Store: url, SQL: true})
	use(t, c)
	var here string
	if err := c.DB.QueryRowContext(t.Context(), "SELECT current_schema()").Scan(&here); err != nil || here != schema {
		t.Errorf("the program's own tables would be in %q (%v), and search_path is %s", here, err, schema)
	}
	if _, err := c.DB.ExecContext(t.Context(), "DROP SCHEMA "+schema+" CASCADE"); err != nil {
		t.Error(err)
	}
	native := open(t, connect.Config{Store: url})
	if native.DB != nil {
		t.Error("pgx's own store has a database/sql door")
	}
}

// A tool looks into the folder of a running service, where a second service is refused.
func TestAttach(t *testing.T) {
	t.Parallel()
	url := "embedded:" + t.TempDir()
	service := open(t, connect.Config{Broker: url, Store: url})
	use(t, service)
	if _, err := connect.Open(t.Context(), connect.Config{Broker: url}); !errors.Is(err, embedded.ErrInUse) {
		t.Errorf("a second service: %v", err)
	}
	b, err := connect.Broker(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer closes(t, b)
	states, err := b.Topics(t.Context(), broker.Inspect, broker.Topic{Name: "connect-test"})
	if err != nil || states[0].Messages != 1 {
		t.Errorf("it sees %+v, %v", states, err)
	}
	s, err := connect.Store(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer closes(t, s)
	rows := 0
	for range s.List(t.Context(), store.Filter{}) {
		rows++
	}
	if rows != 1 {
		t.Errorf("it sees %d rows", rows)
	}
}

func TestWrongURLsAreRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ broker, store, want string }{
		{"localhost", "", "no scheme"},
		{"localhost:9092", "", "no scheme"},
		{"/data/x:y", "", "no scheme"},
		{"http://localhost", "", `unknown scheme "http": known are nats, tls, kafka`},
		{"", "mysql://localhost/x", `unknown scheme "mysql": known are sqlite`},
		{"nats://localhost?partitons=3", "", `unknown option "partitons": known are creds, duplicate_window, `},
		{"kafka://localhost?partitions=many&retention=long&x=1", "", `partitions=many: want a positive whole number`},
		{"kafka://localhost?partitions=many&retention=long&x=1", "", `retention=long: want a duration`},
		{"kafka://localhost?partitions=many&retention=long&x=1", "", `unknown option "x"`},
		{"kafka://localhost?partitions=0", "", "partitions=0: want a positive"},
		{"kafka://localhost?retention=-1h", "", "retention=-1h: want"},
		{"kafka://localhost?client_id=", "", "client_id=: want a value"},
		{"kafka://localhost?partitions=1&partitions=2", "", "partitions is there 2 times"},
		{"kafka://localhost?server_balancer=yes", "", "server_balancer=yes: want true or false"},
		{"kafka://localhost?compression=rar", "", "compression=rar: want snappy, lz4"},
		{"kafka://localhost?%zz", "", "not name=value"},
		{"kafka://localhost/topic", "", `path "/topic"`},
		{"kafka://localhost#x", "", "'#'"},
		{"kafka://", "", `server "": want host:port`},
		{"kafka://one:9092,,two:9092", "", `server "": want host:port`},
		{"kafka://localhost:port", "", `server "localhost:port"`},
		{"redis://one,two", "", "redis+cluster"},
		{"redis://localhost/x", "", "number of a database"},
		{"redis://localhost?tls_ca=x", "", "scheme that encrypts"},
		{"redis+sentinel://localhost", "", "name of the master"},
		{"redis+cluster://localhost?colour=red", "", `unknown option "colour": known are client_name`},
		{"redis://localhost?pool_size=none", "", "pool_size"},
		{"memory:", "postgres://localhost", "names no database"},
		{"memory:", "postgres://localhost/shop?sslmode=maybe", "can't be used"},
		{"memory:", "postgresql://localhost/shop?sllmode=require", `unknown option "sllmode": known are application_name`},
		{"kafka:localhost:9092", "", "want kafka://"},
		{"kafka://me:secret@localhost", "", "option sasl="},
		{"kafka://localhost?sasl=plain", "", "needs a user and a password"},
		{"kafka://localhost?tls_ca=x", "", "scheme that encrypts"},
		{"kafka+tls://localhost?tls_ca=does-not-exist", "", "tls_ca: open does-not-exist"},
		{"kafka+tls://localhost?tls_ca=" + file, "", "no certificate in PEM form"},
		{"kafka+tls://localhost?tls_cert=" + file, "", "both or neither"},
		{"tls://localhost?tls_cert=" + file + "&tls_key=" + file, "", "tls_cert and tls_key"},
		{"nats://localhost?nkey=" + file, "", "option nkey"},
		{"embedded:", "", "names no folder"},
		{"embedded:x?replicas=3", "", `unknown option "replicas"`},
		{"memory:shop", "", `path "shop"`},
		{"memory:", "postgres://me@localhost", "names no database"},
		{"memory:", "postgres://me:secret@localhost/x?sslmod=require", `unknown option "sslmod": known are application_name`},
		{"memory:", "postgres://me:secret@127.0.0.1:1/x?sslmode=disable", "postgres: open"},
		{"memory:", "sqlite:", "names no file"},
		{"memory:", "sqlite://shop.db", "sqlite:///data/shop.db"},
		{"memory:", "sqlite:%zz", "write %25"},
		{"memory:", "sqlite:" + file + "?x=1", `unknown option "x": known are busy_timeout`},
		{"memory:", "memory:?x=1", `unknown option "x": there are none`},
		{"memory:", "memory:", "this program needs one"},
	} {
		c, err := connect.Open(t.Context(), connect.Config{Broker: tt.broker, Store: tt.store, SQL: true})
		if err == nil {
			closes(t, c)
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("broker %q, store %q: %v\nwant %s", tt.broker, tt.store, err, tt.want)
		}
	}
	if _, err := connect.Broker(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "nats") {
		t.Errorf("no broker: %v", err)
	}
	if _, err := connect.Store(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "sqlite") {
		t.Errorf("no store: %v", err)
	}
}

// Passwords are in no error: not in those of the drivers, nor when a forgotten escape puts a part of one where something else is expected.
func TestPasswordsAreNotPrinted(t *testing.T) {
	t.Parallel()
	refused := fmt.Sprint("127.0.0.1:", testenv.FreePort(t))
	hangsUp := silentServer(t)
	for _, url := range []string{
		"nats://me:tops3cret@" + refused,
		"nats://tops3cret@" + refused,
		"tls://me:tops3cret@" + refused + "," + refused,
		"nats://me:tops3cret@" + hangsUp,
		"kafka://me:tops3cret@" + refused + "?sasl=plain",
		"kafka://me:tops3cret@" + hangsUp + "?sasl=scram-sha-512",
		"kafka+tls://me:tops3cret@" + hangsUp + "?sasl=scram-sha-256",
		"kafka://me:tops3cret@" + refused + "?sasl=magic",
		"redis://me:tops3cret@" + refused,
		"redis://:tops3cret@" + hangsUp,
		"rediss://tops3cret:x@" + hangsUp + "?sentinel_password=tops3cret",
		"redis+sentinel://" + refused + "/master?sentinel_password=tops3cret",
		"postgres://me:tops3cret@" + refused + "/shop?sslmode=disable",
		"postgres://me:tops3cret@" + hangsUp + "," + refused + "/shop",
		"postgres://me@" + refused + "/shop?direct=postgres://me:tops3cret%40" + refused,
		"postgres://me:a/tops3cret@" + refused + "/shop",
		"postgres://me@" + refused + "/shop?password=tops3cret",
		"nats://me:a@tops3cret@" + refused,
		"nats://me:a/tops3cret@" + refused,
		"nats://me:a?tops3cret@" + refused,
		"nats://me:a#tops3cret@" + refused,
		"nats://me:%zztops3cret@" + refused,
		"nats:me:tops3cret@" + refused,
		"me:tops3cret@" + refused,
		"http://me:tops3cret@" + refused,
	} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), waitForRefusal)
			defer cancel()
			cfg := connect.Config{Broker: url}
			if strings.HasPrefix(url, "postgres") {
				cfg = connect.Config{Store: url}
			}
			_, err := connect.Open(ctx, cfg)
			if err == nil || everything(err, "tops3cret") {
				t.Errorf("%v", err)
			}
		})
	}
}

// everything reports whether secret is in an error or printed with the details of its struct.
func everything(err error, secret string) bool {
	return strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%v %+v", err, err), secret)
}

// silentServer accepts connections and closes them.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

// The package's documentation has each option below its scheme: those that an error lists as known.
func TestOptionsAreDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("connect.go")
	if err != nil {
		t.Fatal(err)
	}
	brokers, stores, _ := strings.Cut(string(doc), "// Stores:")
	for _, tt := range []struct{ doc, scheme, url string }{
		{brokers, "nats:", "nats://localhost"},
		{brokers, "nats:", "tls://localhost"},
		{brokers, "kafka:", "kafka://localhost"},
		{brokers, "kafka:", "kafka+tls://localhost"},
		{brokers, "redis:", "redis://localhost"},
		{brokers, "redis:", "rediss+sentinel://localhost/master"},
		{brokers, "embedded:", "embedded:x"},
		{stores, "postgres:", "postgres://localhost/shop"},
		{brokers, "memory:", "memory:"},
		{stores, "sqlite:", "sqlite:x"},
		{stores, "embedded:", "embedded:x"},
		{stores, "memory:", "memory:"},
	} {
		cfg := connect.Config{Broker: tt.url + "?no-such-option=1"}
		if tt.doc == stores {
			cfg = connect.Config{Store: tt.url + "?no-such-option=1"}
		}
		_, err := connect.Open(t.Context(), cfg)
		if err == nil {
			t.Fatalf("%s: an unknown option was taken", tt.url)
		}
		_, list, _ := strings.Cut(err.Error(), "known are ")
		known := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
		if documented := documentedOptions(tt.doc, tt.scheme); !slices.Equal(known, documented) {
			t.Errorf("%s has the options\n  %s\nand the documentation\n  %s", tt.url, known, documented)
		}
	}
}

var optionLine = regexp.MustCompile(`^//\t {4}([a-z_]+(?:, [a-z_]+)*)(?:,?$|  )`)

// documentedOptions are those that stand below a scheme.
func documentedOptions(doc, scheme string) []string {
	var found []string
	inside := false
	for line := range strings.Lines(doc) {
		line = strings.TrimRight(line, "\n")
		if rest, ok := strings.CutPrefix(line, "//\t"); ok && !strings.HasPrefix(rest, " ") {
			inside = strings.HasPrefix(rest, scheme)
		}
		if m := optionLine.FindStringSubmatch(line); inside && m != nil {
			found = append(found, strings.Split(m[1], ", ")...)
		}
	}
	slices.Sort(found)
	return found
}
