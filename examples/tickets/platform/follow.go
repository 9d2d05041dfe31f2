package platform

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tidings-go/tidings/sse"
)

// Follow reads the server-sent events of a running platform, as its page does, and calls each for every one, until ctx ends. It reconnects and
// resumes by itself. url is that of the platform.
func Follow(ctx context.Context, url string, each func(sse.Event)) error {
	last := ""
	for ctx.Err() == nil {
		if err := followOnce(ctx, url, &last, each); errors.Is(err, errRefused) {
			return err
		}
		select { // the platform restarts, or has cut us off
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

var errRefused = errors.New("the platform refused")

func followOnce(ctx context.Context, url string, last *string, each func(sse.Event)) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/ops/events", nil)
	if err != nil {
		return fmt.Errorf("tickets: follow %s: %w: %w", url, errRefused, err)
	}
	if *last != "" {
		r.Header.Set("Last-Event-ID", *last)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("tickets: follow %s: %w", url, err)
	}
	defer func() { _ = resp.Body.Close() }() // reading has ended
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		return fmt.Errorf("tickets: follow %s: %w: %s", url, errRefused, resp.Status)
	}
	for e, err := range sse.Read(resp.Body) {
		if err != nil {
			return err
		}
		*last = e.ID
		each(e)
	}
	return nil
}
