package docstest_test

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	link     = regexp.MustCompile(`\[([^\]]*)\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`^#{1,6} +(.*)$`)
	inline   = regexp.MustCompile("`[^`]*`")
	testName = regexp.MustCompile("^`((?:Test|Fuzz|Example)\\w*)`$")
	quoted   = regexp.MustCompile(`^“(.*)”$`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := pages(t, "*.md", "docs/*.md", "examples/*/README.md")
	if len(all) < 10 {
		t.Errorf("only %d pages were found", len(all))
	}
	for _, p := range all {
		for _, complaint := range p.badLinks() {
			t.Error(complaint)
		}
	}
}

// Every page can be found from the first.
func TestTheIndexHasAllPages(t *testing.T) {
	t.Parallel()
	index := strings.Join(pages(t, "docs/README.md")[0].lines, "\n")
	for _, p := range pages(t, "docs/*.md") {
		if name := path.Base(p.name); name != "README.md" && !strings.Contains(index, "]("+name+")") {
			t.Errorf("docs/README.md has no link to %s", name)
		}
	}
}

// badLinks are the page's links that lead nowhere. Those to other sites have to be well-formed only.
func (p *page) badLinks() []string {
	var bad []string
	for i, line := range p.prose() {
		masked := inline.ReplaceAllStringFunc(line, func(s string) string { return strings.NewReplacer("[", "(", "]", ")").Replace(s) })
		for _, m := range link.FindAllStringSubmatch(masked, -1) {
			if err := p.follow(m[1], m[2]); err != nil {
				bad = append(bad, fmt.Sprintf("%s:%d: [%s](%s): %v", p.name, i+1, m[1], m[2], err))
			}
		}
	}
	return bad
}

func (p *page) follow(text, target string) error {
	u, err := url.Parse(target)
	switch {
	case err != nil:
		return err
	case u.Scheme == "https" && u.Host != "":
		return nil
	case u.Scheme != "" || u.Host != "":
		return fmt.Errorf("want https or a file")
	}
	to := p
	if u.Path != "" {
		name := path.Join(path.Dir(p.name), u.Path)
		file := filepath.Join(root, filepath.FromSlash(name))
		info, err := os.Stat(file)
		if err != nil || strings.HasPrefix(name, "..") {
			return fmt.Errorf("there is no %s", name)
		}
		if info.IsDir() {
			return nil
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		to = newPage(name, string(content))
	}
	return to.holds(text, u.Fragment)
}

// holds checks that a page has the heading of an anchor. A file of tests must have the test that the link's text names: a function
// (`TestSomething`), or what is said in quotation marks (“a record arrives”).
func (p *page) holds(text, anchor string) error {
	if !strings.HasSuffix(p.name, ".md") {
		content := strings.Join(p.lines, "\n")
		if m := testName.FindStringSubmatch(text); m != nil && !strings.Contains(content, "\nfunc "+m[1]+"(") {
			return fmt.Errorf("%s has no %s", p.name, m[1])
		}
		if m := quoted.FindStringSubmatch(text); m != nil && !strings.Contains(content, m[1]) {
			return fmt.Errorf("%s does not say so", p.name)
		}
		return nil
	}
	if anchor != "" && !slices.Contains(p.anchors(), anchor) {
		return fmt.Errorf("%s has no heading %q, only %q", p.name, anchor, p.anchors())
	}
	return nil
}

// anchors are the names of the page's headings, as GitHub makes them.
func (p *page) anchors() []string {
	var all []string
	seen := map[string]int{}
	for _, line := range p.prose() {
		m := heading.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := slug(link.ReplaceAllString(m[1], "$1"))
		if n := seen[name]; n > 0 {
			all = append(all, fmt.Sprint(name, "-", n))
		} else {
			all = append(all, name)
		}
		seen[name]++
	}
	return all
}

func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, title)
}

// The control: links that lead nowhere are found.
func TestLinksThatLeadNowhereAreFound(t *testing.T) {
	t.Parallel()
	p := newPage("docs/x.md", strings.Join([]string{
		"# A `title`, and more", "## Same", "## Same",
		"[good](#a-title-and-more) [good](#same-1) [good](../README.md) [good](https://go.dev/x) `[code](nowhere)` [`TestLinksLeadSomewhere`](../internal/docstest/link_test.go)",
		"[no heading](#same-2)", "[no file](nowhere.md)", "[outside](../../etc)", "[no test](../go.mod) [`TestNothing`](../internal/docstest/link_test.go)",
		"[insecure](http://go.dev)", "[“never said ”](../go.mod)", "```", "[in a block](nowhere)", "```",
	}, "\n"))
	if got := p.badLinks(); len(got) != 6 {
		t.Errorf("%d bad links, want 6:\n%s", len(got), strings.Join(got, "\n"))
	}
}
