package connect

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// tlsOptions are the files for encrypted connections.
type tlsOptions struct{ ca, cert, key, serverName string }

func (o *options) tls() tlsOptions {
	var t tlsOptions
	o.text("tls_ca", &t.ca)
	o.text("tls_cert", &t.cert)
	o.text("tls_key", &t.key)
	o.text("tls_server_name", &t.serverName)
	return t
}

// config reads the files. It is nil for connections that are not encrypted.
func (t tlsOptions) config(encrypted bool) (*tls.Config, error) {
	switch {
	case !encrypted && t == (tlsOptions{}):
		return nil, nil
	case !encrypted:
		return nil, errors.New("options tls_… are for the scheme that encrypts: tls://, kafka+tls:// or rediss://")
	case (t.cert == "") != (t.key == ""):
		return nil, errors.New("options tls_cert and tls_key: want both or neither")
	}
	cfg := &tls.Config{ServerName: t.serverName, MinVersion: tls.VersionTLS12}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("option tls_ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("option tls_ca: %s has no certificate in PEM form", t.ca)
		}
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("options tls_cert and tls_key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}
