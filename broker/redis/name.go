package redis

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/tidings-go/tidings/broker"
)

// maxName is how long a topic or group may be: as everywhere in tidings, so that a service can move to another broker.
const maxName = 200

// checkName refuses topics and groups that can't be part of a key. What it lets through maps to keys one to one.
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

// topicKey is where the number of partitions and the limits of a topic are kept.
func topicKey(topic string) string { return "tidings:topic:" + topic }

// streamKey is the stream of a partition. What stands in braces decides where in a cluster a key is, so all that belongs to a
// partition is together and can be changed by one script or transaction.
func streamKey(topic string, partition int) string {
	return "tidings:{" + topic + "/" + strconv.Itoa(partition) + "}"
}

// fenceKey says who owns a partition for a group. It is what every reading and every acknowledgement is checked against.
func fenceKey(stream, group string) string { return stream + ":owner:" + group }

// sentKey remembers the last batch that a publisher has stored in a stream.
func sentKey(stream, publisher string) string { return stream + ":sent:" + publisher }

// leaseKey is the table of who shares a topic's partitions. Neither name can contain '/'.
func leaseKey(group, topic string) string { return "tidings:lease:" + group + "/" + topic }

func liveChannel(topic string) string { return "tidings:live:" + topic }

// claimKey is held by the listener of a group that took the record with that mark.
func claimKey(group, mark string) string { return "tidings:claim:" + group + ":" + mark }

// partitionOf places a key. It must never change: records of one key would be in two partitions.
func partitionOf(key string, partitions int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % uint32(partitions))
}
