//go:build unix

package kafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/broker"
	"github.com/tidings-go/tidings/broker/kafka"
)

// loginSettings have a listener for users, one for encryption, and one for both. %s is the file with the server's certificate and key.
const loginSettings = `
listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,USERS://127.0.0.1:@1@,SECRET://127.0.0.1:@2@,BOTH://127.0.0.1:@3@
advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,USERS://127.0.0.1:@1@,SECRET://127.0.0.1:@2@,BOTH://127.0.0.1:@3@
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT,SECRET:SSL,BOTH:SASL_SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.users.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_bob="right-secret";
listener.name.users.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.users.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.users.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="x";
listener.name.both.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.both.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location=%s
`

// newCertificate makes a certificate of 127.0.0.1 that nobody has signed, and the file that a server wants.
func newCertificate(t *testing.T) (trusted *x509.CertPool, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	file = filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(file, append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), public...), 0o600); err != nil {
		t.Fatal(err)
	}
	trusted = x509.NewCertPool()
	trusted.AppendCertsFromPEM(public)
	return trusted, file
}

// unsigned is a token as Kafka accepts it where nothing else is configured.
func unsigned(subject string, expires time.Time) func(context.Context) (string, error) {
	part := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"sub":%q,"iat":%d,"exp":%d}`, subject, expires.Add(-2*time.Hour).Unix(), expires.Unix())
	return func(context.Context) (string, error) {
		return part([]byte(`{"alg":"none"}`)) + "." + part([]byte(claims)) + ".", nil
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	trusted, file := newCertificate(t)
	s := startKafka(t, fmt.Sprintf(loginSettings, file),
		"SCRAM-SHA-256=[name=alice,password=right-secret]", "SCRAM-SHA-512=[name=alice,password=right-secret]")
	users, secret, both := "127.0.0.1:"+s.ports[0], "127.0.0.1:"+s.ports[1], "127.0.0.1:"+s.ports[2]
	trust, distrust := &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}, &tls.Config{MinVersion: tls.VersionTLS12}
	later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	const failed = "authentication failed"
	for name, test := range map[string]struct {
		address string
		cfg     kafka.Config
		want    []string // of the error; nil: there is none
	}{
		"PLAIN":                    {users, kafka.Config{SASL: kafka.SASL{Mechanism: "PLAIN", User: "bob", Password: "right-secret"}}, nil},
		"PLAIN, wrong":             {users, kafka.Config{SASL: kafka.SASL{Mechanism: "PLAIN", User: "bob", Password: "wrong-secret"}}, []string{failed, "bob"}},
		"SCRAM-SHA-256":            {users, kafka.Config{SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", User: "alice", Password: "right-secret"}}, nil},
		"SCRAM-SHA-256, wrong":     {users, kafka.Config{SASL: kafka.SASL{Mechanism: "SCRAM-SHA-256", User: "alice", Password: "wrong-secret"}}, []string{failed, "alice"}},
		"SCRAM-SHA-512":            {users, kafka.Config{SASL: kafka.SASL{Mechanism: "SCRAM-SHA-512", User: "alice", Password: "right-secret"}}, nil},
		"SCRAM-SHA-512, no user":   {users, kafka.Config{SASL: kafka.SASL{Mechanism: "SCRAM-SHA-512", User: "carol", Password: "wrong-secret"}}, []string{failed, "carol"}},
		"OAUTHBEARER":              {users, kafka.Config{SASL: kafka.SASL{Mechanism: "OAUTHBEARER", Token: unsigned("dave", later)}}, nil},
		"OAUTHBEARER, expired":     {users, kafka.Config{SASL: kafka.SASL{Mechanism: "OAUTHBEARER", Token: unsigned("dave", earlier)}}, []string{failed, "OAUTHBEARER"}},
		"OAUTHBEARER, no token":    {users, kafka.Config{SASL: kafka.SASL{Mechanism: "OAUTHBEARER", Token: noToken}}, []string{failed, "the issuer is away"}},
		"no user":                  {users, kafka.Config{}, []string{"SASL"}},
		"TLS":                      {secret, kafka.Config{TLS: trust}, nil},
		"TLS, unknown certificate": {secret, kafka.Config{TLS: distrust}, []string{"certificate"}},
		"TLS, left out":            {secret, kafka.Config{}, []string{"TLS"}},
		"TLS and SCRAM":            {both, kafka.Config{TLS: trust, SASL: kafka.SASL{Mechanism: "SCRAM-SHA-512", User: "alice", Password: "right-secret"}}, nil},
		"TLS and SCRAM, wrong":     {both, kafka.Config{TLS: trust, SASL: kafka.SASL{Mechanism: "SCRAM-SHA-512", User: "alice", Password: "wrong-secret"}}, []string{failed, "alice"}},
		"a mechanism that is off":  {both, kafka.Config{TLS: trust, SASL: kafka.SASL{Mechanism: "PLAIN", User: "bob", Password: "right-secret"}}, []string{failed, "PLAIN"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			b, err := kafka.Open(t.Context(), []string{test.address}, test.cfg)
			if err == nil {
				defer b.Close()
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("it took %s", took)
			}
			if test.want != nil {
				wantRefusal(t, err, append(test.want, test.address))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			topic := newTopic(t, b, 1)
			publishAll(t, b, []broker.Record{{Topic: topic, Value: []byte("x")}})
		})
	}
}

func noToken(context.Context) (string, error) { return "", errors.New("the issuer is away") }

func wantRefusal(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("the client was opened")
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error was to say %q: %v", w, err)
		}
	}
	if strings.Contains(err.Error(), "-secret") {
		t.Errorf("the error shows the password: %v", err)
	}
}
