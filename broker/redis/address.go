package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// ParseURL makes options of a URL:
//
//	redis://[USER:PASSWORD@]HOST[:6379][/DB]                    one server
//	redis+cluster://[USER:PASSWORD@]HOST[:6379],…               a cluster; some of its servers are enough
//	redis+sentinel://[USER:PASSWORD@]HOST[:26379],…/MASTER[/DB] the master of that name, which these sentinels know
//
// With "rediss" in place of "redis" each is encrypted. In user and password '@', ':', '/', '?', '#' and '%' are percent-encoded. Options follow
// a question mark: client_name, dial_timeout, read_timeout, write_timeout (durations like 5s), pool_size, and for sentinels
// sentinel_username and sentinel_password. Others are refused by name. No error contains a password.
func ParseURL(text string) (*goredis.UniversalOptions, error) {
	o, err := parseURL(text)
	if err != nil {
		return nil, fmt.Errorf("redis: the URL: %w", err)
	}
	return o, nil
}

func parseURL(text string) (*goredis.UniversalOptions, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	kind, err := parseScheme(scheme)
	if err != nil {
		return nil, err
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	o := &goredis.UniversalOptions{IsClusterMode: kind == "cluster"}
	if strings.HasPrefix(scheme, "rediss") {
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	hosts := authority
	if login, after, found := strings.Cut(authority, "@"); found {
		hosts = after
		if o.Username, o.Password, err = parseLogin(login); err != nil {
			return nil, err
		}
	}
	if o.Addrs, err = parseHosts(hosts, kind); err != nil {
		return nil, err
	}
	if err = parsePath(o, path, kind); err != nil {
		return nil, err
	}
	return o, parseOptions(o, query, kind)
}

func parseScheme(scheme string) (kind string, err error) {
	base, kind, found := strings.Cut(scheme, "+")
	if base != "redis" && base != "rediss" || found && kind != "cluster" && kind != "sentinel" {
		return "", errors.New("want redis://, redis+cluster:// or redis+sentinel://, or one of these with rediss for encryption")
	}
	return kind, nil
}

func parseLogin(login string) (user, password string, err error) {
	user, password, _ = strings.Cut(login, ":")
	user, err1 := url.PathUnescape(user)
	password, err2 := url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return "", "", errors.New("user or password has a '%' that begins no escape: write %25")
	}
	return user, password, nil
}

func parseHosts(list, kind string) ([]string, error) {
	if strings.Contains(list, "@") {
		return nil, errors.New("there is an '@' too many: write it as %40 in user and password")
	}
	port := "6379"
	if kind == "sentinel" {
		port = "26379"
	}
	var hosts []string
	for host := range strings.SplitSeq(list, ",") {
		name, given, err := net.SplitHostPort(host)
		if err != nil {
			name, given = strings.Trim(host, "[]"), port
		}
		if _, err := strconv.ParseUint(given, 10, 16); err != nil || name == "" {
			// The host is not quoted: a password with a '/' in it may have ended up here.
			return nil, errors.New("want HOST or HOST:PORT after user and password, where '/' is written as %2F, '?' as %3F and '#' as %23")
		}
		hosts = append(hosts, net.JoinHostPort(name, given))
	}
	if len(hosts) > 1 && kind == "" {
		return nil, errors.New("several servers are a cluster (redis+cluster://) or sentinels (redis+sentinel://)")
	}
	return hosts, nil
}

func parsePath(o *goredis.UniversalOptions, path, kind string) error {
	if kind == "sentinel" {
		o.MasterName, path, _ = strings.Cut(path, "/")
		if o.MasterName == "" {
			return errors.New("the name of the master is missing: redis+sentinel://HOST:26379/MASTER")
		}
	}
	if path == "" {
		return nil
	}
	db, err := strconv.Atoi(path)
	if err != nil || db < 0 {
		return errors.New("what follows the servers must be the number of a database")
	}
	if kind == "cluster" && db != 0 {
		return errors.New("a cluster has only database 0")
	}
	o.DB = db
	return nil
}

func parseOptions(o *goredis.UniversalOptions, query, kind string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the options after '?' are not name=value with '&' between them")
	}
	texts := map[string]*string{"client_name": &o.ClientName}
	if kind == "sentinel" {
		texts["sentinel_username"], texts["sentinel_password"] = &o.SentinelUsername, &o.SentinelPassword
	}
	durations := map[string]*time.Duration{"dial_timeout": &o.DialTimeout, "read_timeout": &o.ReadTimeout, "write_timeout": &o.WriteTimeout}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values.Get(name)
		switch {
		case len(values[name]) > 1:
			return fmt.Errorf("the option %s is there twice", name)
		case texts[name] != nil:
			*texts[name] = value
		case durations[name] != nil:
			if *durations[name], err = time.ParseDuration(value); err != nil || *durations[name] <= 0 {
				return fmt.Errorf("the option %s must be a duration like 5s", name)
			}
		case name == "pool_size":
			if o.PoolSize, err = strconv.Atoi(value); err != nil || o.PoolSize < 1 {
				return fmt.Errorf("the option %s must be a number from 1 on", name)
			}
		default:
			known := slices.Sorted(maps.Keys(texts))
			known = append(append(known, slices.Sorted(maps.Keys(durations))...), "pool_size")
			return fmt.Errorf("there is no option %s, only %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}
