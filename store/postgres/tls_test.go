package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store/postgres"
)

// A server's certificate is checked as the URL says, for transactions and for the relay's own sessions.
func TestTLS(t *testing.T) {
	t.Parallel()
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(programs) == 0 {
		testenv.Postgres(t) // says what is missing
		t.Skip("this PostgreSQL is not installed where tests could start one of their own")
	}
	cert, key := certificate(t)
	server := serve(t, programs[len(programs)-1], "ssl=on", "ssl_cert_file="+cert, "ssl_key_file="+key)
	plain := strings.TrimSuffix(server, "disable")
	for mode, wanted := range map[string]string{
		"verify-full&sslrootcert=" + cert: "", "require": "",
		"verify-full&sslrootcert=" + other(t): "certificate",
	} {
		s, err := postgres.Open(t.Context(), plain+mode, postgres.Config{})
		if err == nil {
			var encrypted bool
			err = s.Pool().QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted)
			if err != nil || !encrypted {
				t.Errorf("sslmode=%s: encrypted %v, %v", mode, encrypted, err)
			}
			if err = s.Close(); err != nil {
				t.Error(err)
			}
		}
		if (err == nil) != (wanted == "") || (err != nil && !strings.Contains(err.Error(), wanted)) {
			t.Errorf("sslmode=%s: %v, want %q", mode, err, wanted)
		}
	}
}

func other(t *testing.T) string {
	t.Helper()
	cert, _ := certificate(t)
	return cert
}

// certificate makes a certificate for 127.0.0.1 that signs itself, in files that the server's user may read.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: public}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if os.Getuid() == 0 { // The server runs as somebody else.
			asPostgres(t, file)
		}
	}
	for ; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755)
	}
	return cert, key
}
