package connect

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/tidings-go/tidings/store/postgres"
)

// driverOptions are those that PostgreSQL's own driver and its pool read; they mean what they mean to psql and pgx.
var driverOptions = []string{
	"sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name", "target_session_attrs", "default_query_exec_mode", "search_path",
	"pool_max_conns", "pool_min_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time",
}

// defaultConnections are more than the driver's four, which a single subscription with its sixteen lanes would keep busy.
const defaultConnections = "20"

func (o *opener) openPostgres(ctx context.Context, a *address) error {
	cfg := postgres.Config{SQL: o.cfg.SQL, Log: o.cfg.Log}
	a.options.text("schema", &cfg.Schema)
	a.options.text("direct", &cfg.Direct)
	if direct, err := url.Parse(cfg.Direct); err == nil {
		if password, ok := direct.User.Password(); ok {
			a.options.secrets = append(a.options.secrets, password)
		}
	}
	a.options.duration("retention", &cfg.Retention)
	a.options.number("max_bytes", &cfg.MaxBytes)
	a.options.number("max_rows", &cfg.MaxRows)
	a.options.duration("max_age", &cfg.MaxAge)
	a.options.duration("poll", &cfg.Poll)
	a.options.duration("lease", &cfg.Lease)
	driver := url.Values{}
	for _, name := range driverOptions {
		var value string
		if a.options.text(name, &value); value != "" {
			driver.Set(name, value)
		}
	}
	if err := a.options.err(); err != nil {
		return err
	}
	if strings.Trim(a.path, "/") == "" {
		return errors.New("the URL names no database: want postgres://HOST/DATABASE")
	}
	if !driver.Has("pool_max_conns") {
		driver.Set("pool_max_conns", defaultConnections)
	}
	server := url.URL{Scheme: "postgres", Host: strings.Join(a.hosts, ","), Path: a.path, RawQuery: driver.Encode()}
	if a.user != "" {
		server.User = url.UserPassword(a.user, a.password)
	}
	if a.password == "" && a.user != "" {
		server.User = url.User(a.user) // A password may be in ~/.pgpass.
	}
	s, err := postgres.Open(ctx, server.String(), cfg)
	if err != nil {
		return err
	}
	o.closes(s)
	o.c.Store, o.c.DB = s, s.DB()
	return nil
}
