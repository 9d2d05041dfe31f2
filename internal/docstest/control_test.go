package docstest_test

import (
	"strings"
	"testing"
)

// The control: a page that says what is not so is found out.
func TestPagesThatAreWrongAreFoundOut(t *testing.T) {
	t.Parallel()
	sh := func(script string) string { return "```sh\n" + script + "\n```\n" }
	text := func(s string) string { return "```text\n" + s + "\n```\n" }
	for _, test := range []struct{ name, page, complaint string }{
		{"right", sh("echo 'one    1'; echo two") + text("one  …\ntwo"), ""},
		{"right, with an exit code", "<!-- exits 3 -->\n" + sh("exit 3"), ""},
		{"right, with a program", "<!-- starts: ready -->\n" + sh(`bash -c 'trap "exit 0" INT; echo ready; while :; do :; done'`) + "<!-- says -->\n" + text("read…"), ""},
		{"a command fails", sh("echo before; false\necho after"), "exit status 1"},
		{"a command of a pipe fails", sh("false | cat"), "exit status 1"},
		{"a command does not exist", sh("no-such-command"), "exit status 127"},
		{"another exit code", "<!-- exits 3 -->\n" + sh("exit 4"), "exit status 4"},
		{"no exit code", "<!-- exits 3 -->\n" + sh("true"), "exit 0, want 3"},
		{"another output", sh("echo one") + text("two"), "printed\none"},
		{"more output", sh("echo one; echo two") + text("one"), "printed\none"},
		{"less output", sh("echo one") + text("one\ntwo"), "printed\none"},
		{"a program that ends", "<!-- starts: ready -->\n" + sh("echo other"), "the program has ended"},
		{"nobody says it", "<!-- says -->\n" + text("hello"), "nothing runs"},
		{"an unknown word", "<!-- sometimes -->\n" + sh("true"), `what is "sometimes"`},
		{"an unknown word before text", sh("true") + "<!-- sometimes -->\n" + text("x"), `what is "sometimes"`},
		{"an unknown language", "```bash\ntrue\n```\n", "not checked by anything"},
		{"no end", "```sh\ntrue\n", "has no end"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newReader(t, newPage("page.md", test.page), t.TempDir())
			err := r.read(t.Context())
			if (err == nil) != (test.complaint == "") || err != nil && !strings.Contains(err.Error(), test.complaint) {
				t.Errorf("got %v, want %q", err, test.complaint)
			}
		})
	}
}
