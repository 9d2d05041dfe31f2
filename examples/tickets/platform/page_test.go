package platform_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/tidings-go/tidings/examples/tickets/platform"
	"github.com/tidings-go/tidings/internal/testenv"
)

// TestPage looks at the page in a real browser, at the width of a phone and in dark mode: a booking that is made elsewhere appears by itself,
// one is made by the form, refunds work, and nothing that a customer calls himself becomes HTML.
func TestPage(t *testing.T) {
	path := chromium(t)
	p := start(t, nil)
	complaints := make(chan string, 100)
	ctx := browser(t, path, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			complaints <- e.ExceptionDetails.Text
		case *log.EventEntryAdded:
			complaints <- e.Entry.Text
		}
	})

	const name = `<img src=x onerror=alert(1)>`
	book(t, p, platform.Request{Show: "hamlet", Customer: "Ada", Seats: 2})
	do(ctx, t,
		chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile),
		chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
			dark := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "dark"}
			_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{dark}})
			return err
		}),
		chromedp.Navigate(p.URL()),
		chromedp.WaitVisible(`//tr[@data-status="ready"]/td[text()="Ada"]`))
	book(t, p, platform.Request{Show: "a-show-with-a-very-long-name-that-does-not-fit-on-any-phone-ever", Customer: name, Seats: 3})
	do(ctx, t,
		chromedp.WaitVisible(`//tr[@data-status="ready"][1]/td[text()="`+name+`"]`),
		chromedp.WaitVisible(`//li[@data-step="printed"]/span[@class="count"][text()="2"]`),

		chromedp.SetValue(`input[name=customer]`, "Grace"),
		chromedp.SetValue(`input[name=seats]`, "0"),
		chromedp.Click(`#book button`),
		chromedp.WaitVisible(`//small[@data-error="seats"][text()!=""]`),
		chromedp.SetValue(`input[name=seats]`, "4"),
		chromedp.Click(`#book button`),
		chromedp.WaitVisible(`//tr[@data-status="ready"]/td[text()="Grace"]`),
		chromedp.Click(`//tr[td[text()="Grace"]]//button`),
		chromedp.WaitVisible(`//tr[@data-status="refunded"][td[text()="Grace"]]`),
		chromedp.WaitVisible(`//li[@data-step="refunded"]/span[@class="count"][text()="1"]`))

	overflow := evaluate[float64](ctx, t, `document.documentElement.scrollWidth - window.innerWidth`)
	background := evaluate[string](ctx, t, `getComputedStyle(document.body).backgroundColor`)
	text := evaluate[string](ctx, t, `getComputedStyle(document.body).color`)
	if overflow > 0 {
		t.Errorf("the page is %v px wider than the phone", overflow)
	}
	if background != "rgb(18, 21, 27)" || text != "rgb(232, 235, 241)" {
		t.Errorf("dark mode shows %s on %s", text, background)
	}
	for len(complaints) > 0 {
		if c := <-complaints; !expected(c) {
			t.Errorf("the browser complains: %s", c)
		}
	}
}

// expected is the browser's note on the booking that was refused.
func expected(complaint string) bool { return strings.Contains(complaint, "status of 422") }

func do(ctx context.Context, t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	for i, action := range actions {
		if err := chromedp.Do(ctx, action); err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
	}
}

func evaluate[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func book(t *testing.T, p *running, r platform.Request) {
	t.Helper()
	if _, err := p.Book(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// chromium is the browser's program. Without one the test is skipped, and with CI=true it fails.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const complaint = "this test needs Chromium: install it (Debian: apt-get install chromium)"
	if testenv.CI() {
		t.Fatal(complaint)
	}
	t.Skip(complaint)
	return ""
}

// browser starts Chromium; what the test does with it may take half a minute.
func browser(t *testing.T, path string, listener func(event any)) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()))
	ctx, end := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(end)
	ctx, leave := chromedp.NewContext(ctx, chromedp.WithListener(listener))
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("end the browser: %v", err)
		}
		leave()
	})
	// The browser ends with the context of its first action: so that has no deadline.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	t.Cleanup(stop)
	return ctx
}
