package nats

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/tidings-go/tidings/broker"
)

// maxName is how long a topic or group may be, so that the names made from it fit into the server's limit of 255 bytes.
const maxName = 200

// checkName refuses topics and groups that can't be part of a NATS name. What it lets through maps to names one to one.
func checkName(what, name string) error {
	if name == "" {
		return fmt.Errorf("the %s has no name: %w", what, broker.ErrInvalid)
	}
	if len(name) > maxName {
		return fmt.Errorf("the %s %.20s… is %d bytes long, at most %d are possible: %w", what, name, len(name), maxName, broker.ErrInvalid)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-' {
			return fmt.Errorf("the %s %q has %q in its name, possible are letters a-z and A-Z, digits, '.', '_' and '-': %w", what, name, r, broker.ErrInvalid)
		}
	}
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, "..") {
		return fmt.Errorf("the %s %q must have something before, between and after its dots: %w", what, name, broker.ErrInvalid)
	}
	return nil
}

// token makes one subject token of a name: '.' would make several, so that "events.>" could mean more than one topic.
func token(name string) string { return strings.ReplaceAll(name, ".", "=") }

func streamName(topic string) string { return "tidings_" + token(topic) }

func partitionSubject(topic string, n int) string {
	return "tidings.t." + token(topic) + "." + strconv.Itoa(n)
}

func topicSubjects(topic string) string { return "tidings.t." + token(topic) + ".*" }

func liveSubject(topic string) string { return "tidings.live." + token(topic) }

// leaseKey is where the owners of a group's partitions are kept. Neither name can contain '/'.
func leaseKey(group, topic string) string { return group + "/" + topic }

// consumerID is whose consumer one is: a later epoch, or a later attempt within one, replaces all before it.
type consumerID struct {
	epoch, attempt uint64
}

func (id consumerID) before(o consumerID) bool {
	return id.epoch < o.epoch || id.epoch == o.epoch && id.attempt < o.attempt
}

// consumerPrefix begins the names of all consumers of a group's partition, and of no others once the rest was parsed.
func consumerPrefix(group string, partition int) string {
	return token(group) + "-p" + strconv.Itoa(partition) + "-e"
}

func (id consumerID) name(prefix string) string {
	return prefix + strconv.FormatUint(id.epoch, 10) + "-" + strconv.FormatUint(id.attempt, 10)
}

func parseConsumer(prefix, name string) (consumerID, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return consumerID{}, false
	}
	epoch, attempt, ok := strings.Cut(rest, "-")
	if !ok {
		return consumerID{}, false
	}
	var id consumerID
	var err1, err2 error
	id.epoch, err1 = strconv.ParseUint(epoch, 10, 64)
	id.attempt, err2 = strconv.ParseUint(attempt, 10, 64)
	return id, err1 == nil && err2 == nil
}

// partitionOf places a key. It must never change: records of one key would be in two partitions.
func partitionOf(key string, partitions int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % uint32(partitions))
}
