package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// ErrNotRunning says that no process runs in a folder.
var ErrNotRunning = errors.New("no process runs in the folder")

// endpoint is how to reach the broker of the process that has the folder. Its file is readable by its owner only.
type endpoint struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

func endpointFile(dir string) string { return filepath.Join(dir, "endpoint.json") }

func writeEndpoint(dir string, e endpoint) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("embedded: encode the endpoint: %w", err)
	}
	// A new file each time: the old one, after a crash, may have been opened to others.
	if err := removeEndpoint(dir); err != nil {
		return err
	}
	// It appears whole, for those who look at that moment.
	whole := endpointFile(dir) + ".new"
	if err := os.WriteFile(whole, b, 0o600); err != nil {
		return fmt.Errorf("embedded: write the endpoint: %w", err)
	}
	if err := os.Rename(whole, endpointFile(dir)); err != nil {
		return fmt.Errorf("embedded: write the endpoint: %w", err)
	}
	return nil
}

func removeEndpoint(dir string) error {
	if err := os.Remove(endpointFile(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("embedded: remove the endpoint: %w", err)
	}
	return nil
}

// Attach connects to the broker of the process that runs in dir. The store needs no such thing: its file can be opened by several
// processes. It fails with ErrNotRunning when no process has the folder. The caller closes the connection.
func Attach(ctx context.Context, dir string) (*natsgo.Conn, error) {
	b, err := os.ReadFile(endpointFile(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("embedded: attach to %s: %w", dir, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("embedded: attach to %s: %w", dir, err)
	}
	var e endpoint
	if err = json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("embedded: attach to %s: read the endpoint: %w", dir, err)
	}
	if err = ctx.Err(); err != nil {
		return nil, fmt.Errorf("embedded: attach to %s: %w", dir, err)
	}
	options := []natsgo.Option{natsgo.Token(e.Token), natsgo.Name("tidings attached")}
	if deadline, ok := ctx.Deadline(); ok {
		options = append(options, natsgo.Timeout(time.Until(deadline)))
	}
	nc, err := natsgo.Connect(e.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("embedded: attach to %s: %w (%w)", dir, ErrNotRunning, err)
	}
	return nc, nil
}

// serverLog passes what the NATS server logs on to slog: errors and warnings as they are, the rest for debugging.
type serverLog struct {
	log *slog.Logger
	// fatal gets what keeps the server from starting.
	fatal chan error
}

func (l serverLog) line(level slog.Level, format string, args []any) {
	l.log.LogAttrs(context.Background(), level, "embedded broker", slog.String("line", fmt.Sprintf(format, args...)))
}

func (l serverLog) Noticef(format string, args ...any) { l.line(slog.LevelDebug, format, args) }

// Warnf lowers what the server says of consumers and streams that a crash has left half made or half deleted: nobody has been told of
// them. They are made again where they are needed.
func (l serverLog) Warnf(format string, args ...any) {
	level := slog.LevelWarn
	if strings.Contains(format, "Missing consumer") || strings.Contains(format, "Missing stream") {
		level = slog.LevelDebug
	}
	l.line(level, format, args)
}

// Fatalf is called when the server can't start, and hands the reason to who waits for it.
func (l serverLog) Fatalf(format string, args ...any) {
	select {
	case l.fatal <- fmt.Errorf(format, args...):
	default:
		l.line(slog.LevelError, format, args)
	}
}

func (l serverLog) Errorf(format string, args ...any) { l.line(slog.LevelError, format, args) }
func (l serverLog) Debugf(format string, args ...any) { l.line(slog.LevelDebug, format, args) }
func (l serverLog) Tracef(format string, args ...any) { l.line(slog.LevelDebug, format, args) }
