package consume_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/consume"
)

func TestVerdictsWrap(t *testing.T) {
	for name, wrap := range map[string]func(error) error{
		"Discard":    consume.Discard,
		"DeadLetter": consume.DeadLetter,
		"RetryAfter": func(err error) error { return consume.RetryAfter(time.Second, err) },
	} {
		err := wrap(fmt.Errorf("mail to %s: %w", "x", errTest))
		if !errors.Is(err, errTest) || err.Error() != "mail to x: it failed" {
			t.Errorf("%s: got %v", name, err)
		}
		if err = wrap(nil); err == nil || err.Error() == "" || errors.Unwrap(err) != nil {
			t.Errorf("%s(nil): got %v", name, err)
		}
	}
	texts := map[string]bool{
		consume.Discard(nil).Error(): true, consume.DeadLetter(nil).Error(): true, consume.RetryAfter(time.Second, nil).Error(): true,
	}
	if len(texts) != 3 {
		t.Errorf("the verdicts' texts are not different: %v", texts)
	}
}
