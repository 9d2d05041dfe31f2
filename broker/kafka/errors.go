package kafka

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tidings-go/tidings/broker"
)

// explain adds the remedy to errors that have one.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case isLogin(err):
		return fmt.Errorf("authentication failed: check Config.SASL (mechanism, user, password or token): %w", err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed),
		errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("not authorized: ask for an ACL for this user: %w", err)
	case errors.Is(err, kgo.ErrClientClosed):
		return fmt.Errorf("%w: %w", broker.ErrClosed, err)
	default:
		return err
	}
}

func isLogin(err error) bool {
	return errors.Is(err, errRefused) || errors.Is(err, kerr.SaslAuthenticationFailed) || errors.Is(err, kerr.UnsupportedSaslMechanism) || errors.Is(err, kerr.IllegalSaslState)
}

// isRefusal reports whether the cluster knows us and does not let us, so that trying again soon is pointless.
func isRefusal(err error) bool {
	return isLogin(err) || errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.GroupAuthorizationFailed) ||
		errors.Is(err, kerr.ClusterAuthorizationFailed)
}
