package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/tidings-go/tidings"
	"github.com/tidings-go/tidings/broker/memory"
	"github.com/tidings-go/tidings/httpapi"
)

func ExampleHandler() {
	app := tidings.New(tidings.Config{Service: "box", Broker: memory.New(memory.Config{})})
	app.Serve(tidings.Serve(book, func(_ context.Context, b bookSeats) (booking, error) {
		if b.Seats > 10 {
			return booking{}, fmt.Errorf("%s is sold out: %w", b.Show, tidings.CodeConflict)
		}
		return booking{Number: 1}, nil
	}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	<-app.Ready()

	server := httptest.NewServer(httpapi.Handler(app, book, httpapi.Config{}))
	for _, body := range []string{`{"show": "Hamlet", "seats": 2}`, `{"show": "Hamlet", "seats": 20}`} {
		response, err := http.Post(server.URL, "application/json", strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			break
		}
		answer, err := io.ReadAll(response.Body)
		fmt.Print(response.Status, " ", string(answer))
		if err != nil || response.Body.Close() != nil {
			fmt.Println(err)
		}
	}
	server.Close()
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-ended; err != nil {
		fmt.Println(err)
	}
	// Output:
	// 200 OK {"number":1}
	// 409 Conflict {"title":"Conflict","status":409,"code":"conflict","detail":"Hamlet is sold out"}
}
