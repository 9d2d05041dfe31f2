package platform_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/examples/tickets/platform"
)

func TestTheDescriptionHasAllRoutes(t *testing.T) {
	posted, pages := map[string]http.Handler{}, []string{}
	for _, route := range start(t, nil).Routes() {
		method, path, _ := strings.Cut(route, " ")
		if method == http.MethodPost {
			posted[path] = nil
		} else {
			pages = append(pages, path)
		}
	}
	trial.Routes(t, platform.OpenAPI, posted, pages...)
}

// Every example of the description is sent, with a booking that there is: it succeeds, and what is answered is described.
func TestTheExamplesOfTheDescriptionWork(t *testing.T) {
	p := start(t, nil)
	defer http.DefaultClient.CloseIdleConnections()
	booking, err := p.Book(t.Context(), platform.Request{Show: "hamlet", Customer: "Ada", Seats: 2})
	if err != nil {
		t.Fatal(err)
	}
	p.quiet()
	for _, e := range trial.Examples(t, platform.OpenAPI) {
		e.Path = strings.ReplaceAll(e.Path, "{id}", booking.ID)
		if e.Path == "/ops/events" { // it has no end: see TestLiveUpdates
			continue
		}
		if a := e.Send(t, p.URL()); a.Status/100 != 2 {
			t.Error(a)
		}
	}
}
