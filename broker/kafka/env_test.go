package kafka_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tidings-go/tidings/broker/kafka"
	"github.com/tidings-go/tidings/internal/testenv"
)

// seeds are the brokers of a real Kafka, from TIDINGS_TEST_KAFKA_URL (kafka://host:port,…).
func seeds(tb testing.TB) []string {
	tb.Helper()
	url := os.Getenv("TIDINGS_TEST_KAFKA_URL") //nolint:forbidigo // internal/testenv does not know Kafka yet.
	if url == "" {
		const complaint = "this test needs Kafka: set TIDINGS_TEST_KAFKA_URL"
		if testenv.CI() {
			tb.Fatal(complaint)
		}
		tb.Skip(complaint)
	}
	return strings.Split(strings.TrimPrefix(url, "kafka://"), ",")
}

func open(tb testing.TB, cfg kafka.Config) *kafka.Broker {
	tb.Helper()
	b, err := kafka.Open(tb.Context(), seeds(tb), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}
