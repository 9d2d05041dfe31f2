package redis_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker/redis"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"redis://localhost":                                          "[localhost:6379]  db 0 cluster false user  tls false",
		"rediss://us%40er:p%2Fw@[::1]:7000/3":                        "[[::1]:7000]  db 3 cluster false user us@er tls true",
		"redis+cluster://a,b:7001":                                   "[a:6379 b:7001]  db 0 cluster true user  tls false",
		"redis+sentinel://u:p@a,b:7/main/2?sentinel_username=sentry": "[a:26379 b:7] main db 2 cluster false user u tls false",
		"rediss+sentinel://a/main":                                   "[a:26379] main db 0 cluster false user  tls true",
		"redis://localhost?client_name=x&pool_size=7&dial_timeout=5s&read_timeout=6s&write_timeout=7s": "[localhost:6379]  db 0 cluster false user  tls false",
	} {
		o, err := redis.ParseURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := fmt.Sprintf("%v %s db %d cluster %t user %s tls %t", o.Addrs, o.MasterName, o.DB, o.IsClusterMode, o.Username, o.TLSConfig != nil); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
	o, err := redis.ParseURL("redis://:p%2Fw@localhost?client_name=x&pool_size=7&dial_timeout=5s&read_timeout=6s&write_timeout=7s")
	if err != nil || o.Password != "p/w" || o.ClientName != "x" || o.PoolSize != 7 || o.DialTimeout+o.ReadTimeout+o.WriteTimeout != 18*time.Second {
		t.Errorf("options are %+v, %v", o, err)
	}
}

func TestURLsThatAreWrong(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"localhost:6379":                            "want redis://",
		"redis+other://localhost":                   "want redis://",
		"redis://user:s3cret/x@localhost":           "%2F",
		"redis://user:s3c@ret@localhost":            "%40",
		"redis://user:s3cret%@localhost":            "%25",
		"redis://a,b":                               "redis+cluster",
		"redis://localhost:port":                    "HOST:PORT",
		"redis://localhost/one":                     "number of a database",
		"redis+cluster://localhost/1":               "only database 0",
		"redis+sentinel://localhost":                "the name of the master",
		"redis://localhost?database=1":              "no option database, only client_name, dial_timeout",
		"redis://localhost?sentinel_username=":      "no option sentinel_username",
		"redis://localhost?pool_size=0":             "pool_size must be a number",
		"redis://localhost?dial_timeout=5":          "dial_timeout must be a duration",
		"redis://localhost?pool_size=1&pool_size=2": "pool_size is there twice",
		"redis://localhost?a;b":                     "name=value",
	} {
		_, err := redis.ParseURL(url)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3c") {
			t.Errorf("%s: %v; want %q", url, err, want)
		}
	}
}

func TestConfigMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]redis.Config{
		"Config.Partitions is -1":    {Partitions: -1},
		"Config.LeaseTTL":            {LeaseTTL: -1},
		"Redis takes at most 536870": {MaxRecordBytes: 1 << 30},
	} {
		if _, err := redis.Open(t.Context(), "redis://127.0.0.1:1", cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
	if _, err := redis.Open(t.Context(), "redis://127.0.0.1:1", redis.Config{}); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1: nobody answers there") {
		t.Errorf("nobody is there: %v", err)
	}
}
