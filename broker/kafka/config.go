package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Config has a useful zero value.
type Config struct {
	// TLS encrypts connections. Nil: they are plain.
	TLS *tls.Config
	// SASL says who we are. The zero value: nobody.
	SASL SASL
	// ClientID is the name under which the brokers log us and count quotas. Default "tidings".
	ClientID string

	// Replication is on how many brokers a new topic is kept. With three or more, a record counts as stored once two have it.
	// Default: what the cluster gives.
	Replication int
	// Partitions is how many partitions a new topic has that does not say so itself. Default 8.
	Partitions int
	// Retention is how long a new topic that does not say so itself keeps records. Default 7 days.
	Retention time.Duration

	// Compression of what is published: "snappy", "lz4", "zstd", "gzip" or "none". What does not get smaller is sent as it is. Default "snappy".
	Compression string
	// PublishTimeout is for how long a record that the brokers do not confirm is sent again before it fails. Default 30 seconds.
	PublishTimeout time.Duration
	// BufferRecords and BufferBytes are how much Publish accepts ahead of the brokers. Defaults 32,768 and 64 MiB.
	BufferRecords, BufferBytes int

	// PrefetchRecords and PrefetchBytes are how much of each partition is read ahead of Fetch, not counting what is on the
	// wire. The bytes are those that the brokers sent, compressed. Defaults 8192 and 4 MiB.
	PrefetchRecords, PrefetchBytes int
	// SessionTimeout is after how long without a heartbeat the partitions of a replica go to another. The brokers accept 6 seconds and more
	// (group.min.session.timeout.ms). With ServerBalancer the brokers' own setting counts. Default 15 seconds.
	SessionTimeout time.Duration
	// HandOver is how long a partition that another replica takes over may take to finish what it was given. After that its context ends, and
	// what is not settled comes again at the other replica. Default 30 seconds.
	HandOver time.Duration
	// InstanceID makes this replica a static member of its groups: when it is back within SessionTimeout, its partitions have not
	// moved. It must differ from those of all other replicas. Default: not static.
	InstanceID string
	// ServerBalancer lets the brokers divide partitions (KIP-848) instead of the replicas. It needs Kafka 4.3 or newer, and all replicas of a
	// group should agree.
	ServerBalancer bool

	// Log gets what happens without anybody asking: connections and partitions lost and found again. Default slog.Default.
	Log *slog.Logger
}

// SASL is how to authenticate.
type SASL struct {
	// Mechanism is "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512" or "OAUTHBEARER". Empty: no authentication.
	Mechanism string
	// User and Password are for PLAIN and SCRAM.
	User, Password string
	// Token returns a token for OAUTHBEARER. It is called for each connection, and again when a token expires.
	Token func(ctx context.Context) (string, error)
}

// Times for which there is no knob.
const (
	// attemptTimeout is how long brokers may take to replicate a batch, answerTimeout how long beyond that we wait for the answer.
	attemptTimeout = 5 * time.Second
	answerTimeout  = 5 * time.Second
	// openTimeout bounds the first contact, askTimeout one look at topics and offsets in the background.
	openTimeout = 10 * time.Second
	askTimeout  = 10 * time.Second
	// leaveTimeout bounds the farewell to a group.
	leaveTimeout = 5 * time.Second
	// joinMargin is what of the group's rebalance timeout is left for the protocol when HandOver is used up.
	joinMargin = 15 * time.Second
	// fetchWait is how long a broker keeps a request for records that aren't there yet. What is read besides waits for the answer.
	fetchWait = 500 * time.Millisecond
	// commitEvery is the least time between two commits of a group.
	commitEvery = 50 * time.Millisecond
	// liveRetention is how long live records can be heard by listeners that fall behind.
	liveRetention = 10 * time.Minute
)

func (c Config) withDefaults() (Config, error) {
	for name, n := range map[string]int64{
		"Replication": int64(c.Replication), "Partitions": int64(c.Partitions), "Retention": int64(c.Retention),
		"PublishTimeout": int64(c.PublishTimeout), "BufferRecords": int64(c.BufferRecords), "BufferBytes": int64(c.BufferBytes),
		"PrefetchRecords": int64(c.PrefetchRecords), "PrefetchBytes": int64(c.PrefetchBytes),
		"SessionTimeout": int64(c.SessionTimeout), "HandOver": int64(c.HandOver),
	} {
		if n < 0 {
			return c, fmt.Errorf("kafka: Config.%s is %d; it must not be negative", name, n)
		}
	}
	setDefault(&c.ClientID, "tidings")
	setDefault(&c.Partitions, 8)
	setDefault(&c.Retention, 7*24*time.Hour)
	setDefault(&c.Compression, "snappy")
	setDefault(&c.PublishTimeout, 30*time.Second)
	setDefault(&c.BufferRecords, 32<<10)
	setDefault(&c.BufferBytes, 64<<20)
	setDefault(&c.PrefetchRecords, 8<<10)
	setDefault(&c.PrefetchBytes, 4<<20)
	setDefault(&c.SessionTimeout, 15*time.Second)
	setDefault(&c.HandOver, 30*time.Second)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c, nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// compressor is nil when nothing is compressed.
func (c Config) compressor() (kgo.Compressor, error) {
	var codec kgo.CompressionCodec
	switch c.Compression {
	case "none":
		return nil, nil
	case "snappy":
		codec = kgo.SnappyCompression()
	case "lz4":
		codec = kgo.Lz4Compression()
	case "zstd":
		codec = kgo.ZstdCompression()
	case "gzip":
		codec = kgo.GzipCompression()
	default:
		return nil, fmt.Errorf("kafka: Config.Compression is %q; it must be snappy, lz4, zstd, gzip or none", c.Compression)
	}
	compressor, err := kgo.DefaultCompressor(codec)
	if err != nil {
		return nil, fmt.Errorf("kafka: %s compression: %w", c.Compression, err)
	}
	return compressor, nil
}

// options are what all connections have in common.
func (c Config) options(seeds []string) ([]kgo.Opt, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(seeds...),
		kgo.ClientID(c.ClientID),
		kgo.SoftwareNameAndVersion("tidings", "v0"),
		kgo.DisableClientMetrics(),
		kgo.WithLogger(logger{c.Log}),
		// The defaults forget idle connections after 20 seconds, so that a quiet publisher would pay for a new one with each record.
		kgo.ConnIdleTimeout(5 * time.Minute),
		kgo.RequestTimeoutOverhead(answerTimeout),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.MetadataMaxAge(time.Minute),
	}
	if c.TLS != nil {
		options = append(options, kgo.DialTLSConfig(c.TLS))
	}
	mechanism, err := c.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		options = append(options, kgo.SASL(login{mechanism}))
	}
	return options, nil
}

// String leaves out the password.
func (s SASL) String() string {
	if s.User == "" {
		return s.Mechanism
	}
	return fmt.Sprintf("user %q (%s)", s.User, s.Mechanism)
}

func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		if s.User != "" || s.Password != "" || s.Token != nil {
			return nil, errors.New("kafka: Config.SASL has credentials but no Mechanism; set it to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")
		}
		return nil, nil
	case "PLAIN":
		return plain.Auth{User: s.User, Pass: s.Password}.AsMechanism(), s.wantUser()
	case "SCRAM-SHA-256":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism(), s.wantUser()
	case "SCRAM-SHA-512":
		return scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism(), s.wantUser()
	case "OAUTHBEARER":
		if s.Token == nil {
			return nil, errors.New("kafka: Config.SASL.Token is missing; OAUTHBEARER needs it")
		}
		return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := s.Token(ctx)
			return oauth.Auth{Token: token}, err
		}), nil
	default:
		return nil, fmt.Errorf("kafka: Config.SASL.Mechanism is %q; it must be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER", s.Mechanism)
	}
}

func (s SASL) wantUser() error {
	if s.User == "" || s.Password == "" {
		return fmt.Errorf("kafka: Config.SASL needs User and Password for %s", s.Mechanism)
	}
	return nil
}

// logger passes on the client library's warnings.
type logger struct{ log *slog.Logger }

func (logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l logger) Log(_ kgo.LogLevel, msg string, keyvals ...any) {
	attrs := []slog.Attr{slog.String("event", msg)}
	for i := 0; i+1 < len(keyvals); i += 2 {
		attrs = append(attrs, slog.Any(fmt.Sprint(keyvals[i]), keyvals[i+1]))
	}
	l.log.LogAttrs(context.Background(), slog.LevelDebug, "the Kafka client warns", attrs...)
}
