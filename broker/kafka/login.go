package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/sasl"
)

// errRefused says that a mechanism came to nothing: there is no token, or the broker does not accept what we have said.
var errRefused = errors.New("the credentials come to nothing")

// login is a mechanism whose failures are known as such: by themselves they look like any other trouble with a connection.
type login struct{ sasl.Mechanism }

func (l login) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := l.Mechanism.Authenticate(ctx, host)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	return talk{session}, first, nil
}

type talk struct{ sasl.Session }

func (t talk) Challenge(answer []byte) (bool, []byte, error) {
	done, next, err := t.Session.Challenge(answer)
	if err != nil {
		err = fmt.Errorf("%w: %w: %.200q", errRefused, err, answer)
	}
	return done, next, err
}
