package nats

import (
	"hash/fnv"
	"strconv"
	"strings"
)

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
