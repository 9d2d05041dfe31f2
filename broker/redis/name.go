package redis

import (
	"hash/fnv"
	"strconv"
)

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
