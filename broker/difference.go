package broker

import (
	"fmt"
	"time"
)

// Differences compares a topic as it is with what is wanted of it, for [TopicState.Diff]. What is zero is not wanted. A topic that is compacted without being
// asked loses records, so that counts too, unless it is somebody else's.
func Differences(want, found *Topic) []string {
	var lines []string
	differ := func(what string, wanted bool, expected, found any) {
		if wanted && expected != found {
			lines = append(lines, fmt.Sprintf("%s: expected %v, found %v", what, expected, found))
		}
	}
	differ("partitions", want.Partitions != 0, want.Partitions, found.Partitions)
	differ("retention", want.Retention != 0, shown(want.Retention), shown(found.Retention))
	differ("replication", want.Replication != 0, want.Replication, found.Replication)
	differ("max bytes", want.MaxBytes != 0, want.MaxBytes, found.MaxBytes)
	differ("compacted", want.Compact || !want.External, want.Compact, found.Compact)
	return lines
}

// Unlimited is the Retention of topics whose records are kept for ever.
const Unlimited = time.Duration(1<<63 - 1)

func shown(d time.Duration) string {
	if d == Unlimited {
		return "unlimited"
	}
	return d.String()
}
