package connect

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// address is a URL in parts. Those of package net/url have one host, and quote what they can't parse in their errors.
type address struct {
	scheme         string
	user, password string
	hosts          []string // with ports
	// path is a file or folder, or what follows the hosts.
	path    string
	options *options
}

// schemeOf is a URL's scheme. Its error contains nothing of the rest.
func schemeOf(raw string) (string, error) {
	scheme, rest, ok := strings.Cut(raw, ":")
	port := strings.Trim(rest, "0123456789") == "" && rest != "" // localhost:9092
	if !ok || scheme == "" || port || strings.ContainsAny(scheme, "/@?#. ") {
		return "", errors.New("it has no scheme: want something like kafka://localhost:9092 or sqlite:shop.db")
	}
	return strings.ToLower(scheme), nil
}

// parse takes a URL with a known scheme apart. Its errors contain nothing that could be a part of a password.
func parse(scheme, raw string) (*address, error) {
	a := &address{scheme: scheme}
	rest := raw[len(scheme)+1:]
	after, network := strings.CutPrefix(rest, "//")
	var err error
	switch {
	case slices.Contains(localSchemes, scheme):
		err = a.parseLocal(rest)
	case network:
		err = a.parseNetwork(after)
	default:
		err = fmt.Errorf("want %s://HOST:PORT", scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", scheme, err)
	}
	return a, nil
}

// localSchemes have a file or folder, or nothing, in place of hosts.
var localSchemes = []string{"sqlite", "embedded", "memory"}

func (a *address) parseLocal(rest string) error {
	path, query, _ := strings.Cut(rest, "?")
	if after, ok := strings.CutPrefix(path, "//"); ok {
		if !strings.HasPrefix(after, "/") {
			return fmt.Errorf("after %s:// comes a file with its whole path, as in %s:///data/shop.db; without // it is relative to where the program runs", a.scheme, a.scheme)
		}
		path = after
	}
	path, err := url.PathUnescape(path)
	if err != nil {
		return errors.New("the path has a '%' that begins no escape: write %25")
	}
	a.path = path
	return a.parseOptions(query)
}

func (a *address) parseNetwork(rest string) error {
	rest = strings.ReplaceAll(rest, ","+a.scheme+"://", ",") // the scheme may be repeated before each server
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	if strings.Count(authority, "@") > 1 || strings.Contains(rest[len(authority):], "@") {
		return errors.New("there is an '@' too many: write user and password once, before the first server, and '@' as %40, '/' as %2F, '?' as %3F, '#' as %23 in them")
	}
	login, hosts, found := strings.Cut(authority, "@")
	if !found {
		login, hosts = "", authority
	}
	if err := a.parseLogin(login); err != nil {
		return err
	}
	if err := a.parseHosts(hosts); err != nil {
		return err
	}
	path, query, _ := strings.Cut(rest[len(authority):], "?")
	if strings.Contains(path+query, "#") {
		return errors.New("there is a '#', which means nothing here: write %23")
	}
	a.path = path
	return a.parseOptions(query)
}

func (a *address) parseLogin(login string) error {
	user, password, _ := strings.Cut(login, ":")
	var err1, err2 error
	a.user, err1 = url.PathUnescape(user)
	a.password, err2 = url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return errors.New("user or password has a '%' that begins no escape: write %25")
	}
	return nil
}

// defaultPorts are what is added to a host that has no port.
var defaultPorts = map[string]string{
	"nats": "4222", "tls": "4222", "kafka": "9092", "kafka+tls": "9092", "postgres": "5432", "postgresql": "5432",
	"redis": "6379", "rediss": "6379", "redis+cluster": "6379", "rediss+cluster": "6379", "redis+sentinel": "26379", "rediss+sentinel": "26379",
}

// isEncrypted reports whether the scheme says so.
func (a *address) isEncrypted() bool {
	return a.scheme == "tls" || a.scheme == "kafka+tls" || strings.HasPrefix(a.scheme, "rediss")
}

func (a *address) parseHosts(list string) error {
	port := defaultPorts[a.scheme]
	for host := range strings.SplitSeq(list, ",") {
		name, given, err := net.SplitHostPort(host)
		if err != nil {
			name, given = strings.Trim(host, "[]"), port
		}
		if _, err := strconv.ParseUint(given, 10, 16); err != nil || name == "" {
			return fmt.Errorf("the server %q: want host:port, several with commas between them", host)
		}
		a.hosts = append(a.hosts, net.JoinHostPort(name, given))
	}
	return nil
}

func (a *address) parseOptions(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the options after '?' are not name=value with '&' between them")
	}
	a.options = &options{values: values}
	return nil
}

// noPath refuses what follows the servers.
func (a *address) noPath() error {
	if a.path != "" && a.path != "/" {
		return fmt.Errorf("the path %q after the servers means nothing here", a.path)
	}
	return nil
}

// urls are the servers as URLs of their own, without user and password.
func (a *address) urls() string {
	list := make([]string, len(a.hosts))
	for i, h := range a.hosts {
		list[i] = a.scheme + "://" + h
	}
	return strings.Join(list, ",")
}

// hide takes the password out of what an error says. Adapters are careful, and the libraries below them not always.
func (a *address) hide(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, secret := range a.secrets() {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if text == err.Error() {
		return err
	}
	return hidden{text, err}
}

// secrets are the forms that the password may have in a text. On its own a user is a token.
func (a *address) secrets() []string {
	secret := a.password
	if secret == "" && !strings.HasPrefix(a.scheme, "postgres") { // There a user on its own is a name.
		secret = a.user
	}
	return append([]string{secret, url.QueryEscape(secret), url.PathEscape(secret), url.UserPassword("", secret).String()[1:]}, a.options.secrets...)
}

// hidden is an error whose text lacks a password. What it wraps can be asked for, and is not printed.
type hidden struct {
	text string
	err  error
}

func (h hidden) Error() string { return h.text }

func (h hidden) Unwrap() error { return h.err }
