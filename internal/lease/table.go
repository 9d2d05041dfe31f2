package lease

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// table is what the cell holds.
type table struct {
	Members map[string]beat  `json:"members"`
	Names   map[string]entry `json:"names"`
}

// beat is a member's sign of life.
type beat struct {
	Count uint64 `json:"beat"`
	// Leaving members keep what they hold and claim nothing.
	Leaving bool `json:"leaving,omitempty"`
}

// entry says who owns a name. An empty owner: nobody does.
type entry struct {
	Owner string `json:"owner,omitempty"`
	Epoch uint64 `json:"epoch"`
}

func decode(value []byte) (table, error) {
	t := table{Members: map[string]beat{}, Names: map[string]entry{}}
	if len(value) == 0 {
		return t, nil
	}
	if err := json.Unmarshal(value, &t); err != nil {
		return t, fmt.Errorf("lease: the cell does not hold a table of leases: %w", err)
	}
	if t.Members == nil || t.Names == nil {
		return t, errors.New("lease: the cell does not hold a table of leases: members or names is null")
	}
	return t, nil
}

func (t table) encode() ([]byte, error) { return json.Marshal(t) }

// clone makes a copy that can be changed.
func (t table) clone() table {
	return table{Members: maps.Clone(t.Members), Names: maps.Clone(t.Names)}
}

func (t table) equal(o table) bool {
	return maps.Equal(t.Members, o.Members) && maps.Equal(t.Names, o.Names)
}

// remove takes a member out and frees its names.
func (t table) remove(member string) {
	delete(t.Members, member)
	for name, e := range t.Names {
		if e.Owner == member {
			t.Names[name] = entry{Epoch: e.Epoch}
		}
	}
}

// quota is how many of the names self may hold: the same number for all, and one more for as many as the remainder allows.
// Those who hold most are given that one more, so that nothing moves without need.
func (t table) quota(self string, names []string) int {
	held := make(map[string]int, len(t.Members))
	for _, name := range names {
		held[t.Names[name].Owner]++
	}
	var members []string
	for id, m := range t.Members {
		if !m.Leaving {
			members = append(members, id)
		}
	}
	slices.SortFunc(members, func(a, b string) int {
		if held[a] != held[b] {
			return held[b] - held[a]
		}
		return strings.Compare(a, b)
	})
	rank := slices.Index(members, self)
	if rank < 0 {
		return 0
	}
	quota := len(names) / len(members)
	if rank < len(names)%len(members) {
		quota++
	}
	return quota
}
