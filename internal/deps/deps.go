// Package deps keeps the module requirements while the packages that need them are being written. It is deleted before landing.
package deps

import (
	_ "github.com/chromedp/chromedp"
	_ "github.com/gofrs/flock"
	_ "github.com/google/uuid"
	_ "github.com/nats-io/nats-server/v2/server"
	_ "github.com/nats-io/nats.go"
	_ "github.com/spf13/cobra"
	_ "go.uber.org/goleak"
	_ "modernc.org/sqlite"
	_ "pgregory.net/rapid"
)
