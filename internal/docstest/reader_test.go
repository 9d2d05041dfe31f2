package docstest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Commands may compile, on a busy machine. What is waited for comes in seconds.
const (
	commandTimeout = 5 * time.Minute
	waitTimeout    = time.Minute
)

// reader does what a page tells its readers to do, in a folder of its own:
//
//   - a block of sh is run by bash and must succeed, or fail with the code that "<!-- exits N -->" before it says;
//   - text that follows is what it must print, with "…" for what differs from time to time. "<!-- eventually -->" runs it until it does;
//   - "<!-- starts: WORDS -->" before sh begins a program, and waits until it has said so. "<!-- says -->" before text waits for what the
//     program is to say. It is ended as by Ctrl-C when another one is started, and at the end of the page;
//   - a file is saved by "<!-- snippet … > NAME -->";
//   - SQL is run in the page's database.
//
// Any other block is an error, except pictures: nothing in a page goes unchecked.
type reader struct {
	page *page
	dir  string
	// bin is where programs are installed.
	bin string
	// words are what the page says for what this test has, such as the URL of a server.
	words   *dictionary
	program *program
}

func (r *reader) read(ctx context.Context) (err error) {
	blocks, err := r.page.blocks()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.interrupt()) }()
	for i, b := range blocks {
		if err = r.do(ctx, b, blocks[i+1:]); err != nil {
			return fmt.Errorf("%s:%d: %w", r.page.name, b.line, err)
		}
	}
	return nil
}

// do does what a block says. Text is a part of the command before it, which is why commands are told what comes next.
func (r *reader) do(ctx context.Context, b block, next []block) error {
	switch b.lang {
	case "go":
		if _, name, ok := strings.Cut(b.directive, " > "); ok {
			return r.save(name, r.words.ours(b.text))
		}
		return nil
	case "sh":
		want := ""
		if len(next) > 0 && next[0].isOutput() {
			want = next[0].text
		}
		return r.shell(ctx, b, want)
	case "text":
		if b.directive == "says" {
			return r.await(b.text)
		}
		if !b.isOutput() {
			return fmt.Errorf("what is %q?", b.directive)
		}
		return nil
	case "sql":
		return runSQL(ctx, r.words.ours(postgresURL), r.words.ours(b.text))
	case "mermaid":
		return nil
	}
	return fmt.Errorf("a block of %q is not checked by anything: want sh, text, go, sql or mermaid", b.lang)
}

func (b block) isOutput() bool { return b.lang == "text" && b.directive == "" }

func (r *reader) save(name, text string) error {
	return os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600)
}

func (r *reader) shell(ctx context.Context, b block, want string) error {
	script := r.words.ours(runnable(b.text))
	verb, rest, _ := strings.Cut(b.directive, " ")
	code := 0
	switch verb {
	case "", "eventually":
	case "starts:":
		return r.start(ctx, script, rest)
	case "exits":
		if _, err := fmt.Sscan(rest, &code); err != nil {
			return fmt.Errorf("exits %q: want a number", rest)
		}
	default:
		return fmt.Errorf("what is %q?", b.directive)
	}
	try := func() error {
		out, err := r.run(ctx, script, code)
		if err == nil && want != "" && !matches(want, out) {
			err = fmt.Errorf("%s\nprinted\n%s\nwant\n%s", script, out, want)
		}
		return err
	}
	if verb == "eventually" {
		return within(waitTimeout, try)
	}
	return try()
}

// run runs a script to its end and returns what it printed, in the page's words.
func (r *reader) run(ctx context.Context, script string, code int) (string, error) {
	if err := r.useThisTree(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := r.command(ctx, script)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && code != 0 && exit.ExitCode() == code {
		err = nil
	} else if err == nil && code != 0 {
		err = fmt.Errorf("exit 0, want %d", code)
	}
	if err != nil {
		err = fmt.Errorf("%s\n%w\n%s%s", script, err, out.String(), errs.String())
	}
	return r.words.theirs(out.String()), err
}

func (r *reader) command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = r.dir
	cmd.WaitDelay = 10 * time.Second
	path := r.bin + string(os.PathListSeparator) + os.Getenv("PATH") //nolint:forbidigo // a command of a page has the environment of a reader
	cmd.Env = append(os.Environ(), "PATH="+path, "GOBIN="+r.bin, "GOWORK=off")
	return cmd
}

// useThisTree makes a new module of the page use the tidings of this repository, as no released one has what the page says.
func (r *reader) useThisTree() error {
	mod, err := os.ReadFile(filepath.Join(r.dir, "go.mod"))
	if err != nil || bytes.Contains(mod, []byte("\nreplace ")) || bytes.HasPrefix(mod, []byte("module github.com/tidings-go/tidings\n")) {
		return nil //nolint:nilerr // there is no module yet
	}
	tree, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum")) // they are known already, so nobody has to be asked
	if err != nil {
		return err
	}
	return errors.Join(
		r.save("go.mod", string(mod)+"\nreplace github.com/tidings-go/tidings => "+tree+"\n"),
		r.save("go.sum", string(sums)))
}
