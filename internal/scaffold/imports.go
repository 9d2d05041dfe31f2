package scaffold

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

const tidings = "github.com/tidings-go/tidings"

// imports is an import declaration: the standard library first, then what is somebody else's, then tidings, then the service's own packages. A
// specification is a path, or as it is in the source: with quotes, and a name before them.
func imports(module string, specs []string) string {
	var groups [4][]string
	for _, spec := range specs {
		if !strings.Contains(spec, `"`) {
			spec = strconv.Quote(spec)
		}
		at := importGroup(module, pathOf(spec))
		groups[at] = append(groups[at], spec)
	}
	if len(specs) == 1 {
		return "import " + slices.Concat(groups[:]...)[0] + "\n"
	}
	var b strings.Builder
	b.WriteString("import (\n")
	for _, group := range groups {
		slices.SortFunc(group, func(one, other string) int {
			return cmp.Or(strings.Compare(pathOf(one), pathOf(other)), strings.Compare(one, other))
		})
		for _, spec := range slices.Compact(group) {
			b.WriteString("\t" + spec + "\n")
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n)\n"
}

func importGroup(module, path string) int {
	first, _, _ := strings.Cut(path, "/")
	switch {
	case path == module || strings.HasPrefix(path, module+"/"):
		return 3
	case path == tidings || strings.HasPrefix(path, tidings+"/"):
		return 2
	case strings.Contains(first, "."):
		return 1
	default:
		return 0
	}
}

// pathOf is the path in a specification.
func pathOf(spec string) string {
	_, path, _ := strings.Cut(spec, `"`)
	path, _, _ = strings.Cut(path, `"`)
	return path
}
