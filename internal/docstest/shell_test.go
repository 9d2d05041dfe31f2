package docstest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
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
//     program is to say. "<!-- Ctrl-C -->" before sh ends it first, and so does another start;
//   - a file is saved by "<!-- snippet … > NAME -->";
//   - SQL is run in the page's database.
type reader struct {
	t    *testing.T
	page *page
	dir  string
	// bin is where programs are installed.
	bin string
	// words are what the page says for what this test has, such as the URL of a server.
	words   *dictionary
	program *program
}

func (r *reader) read() {
	r.t.Helper()
	blocks, err := r.page.blocks()
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() {
		if r.program != nil {
			r.interrupt()
		}
	}()
	for i, b := range blocks {
		switch b.lang {
		case "go":
			r.save(b)
		case "sh":
			want := ""
			if i+1 < len(blocks) && blocks[i+1].lang == "text" && blocks[i+1].directive == "" {
				want = blocks[i+1].text
			}
			r.shell(b, want)
		case "text":
			if b.directive == "says" {
				r.await(b)
			}
		case "sql":
			r.sql(b)
		}
		if r.t.Failed() {
			return
		}
	}
}

// save writes the file that a block of Go shows.
func (r *reader) save(b block) {
	if _, name, ok := strings.Cut(b.directive, " > "); ok {
		r.write(name, b.text)
	}
}

func (r *reader) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(r.words.ours(text)), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reader) shell(b block, want string) {
	r.t.Helper()
	script := r.words.ours(runnable(b.text))
	if words, ok := strings.CutPrefix(b.directive, "starts: "); ok {
		r.start(script)
		r.await(block{line: b.line, text: "…" + words + "…\n"})
		return
	}
	if b.directive == "Ctrl-C" {
		r.interrupt()
	}
	code := 0
	if n, ok := strings.CutPrefix(b.directive, "exits "); ok {
		if _, err := fmt.Sscan(n, &code); err != nil {
			r.t.Fatalf("%s:%d: exits %s: %v", r.page.name, b.line, n, err)
		}
	}
	try := func() error {
		out, err := r.run(script, code)
		if err == nil && want != "" && !matches(want, out) {
			err = fmt.Errorf("printed\n%s\nwant\n%s", out, want)
		}
		return err
	}
	err := try()
	if b.directive == "eventually" {
		testenv.Eventually(r.t, waitTimeout, try)
		return
	}
	if err != nil {
		r.t.Errorf("%s:%d: %v", r.page.name, b.line, err)
	}
}

// run runs a script to its end and returns what it printed, in the page's words.
func (r *reader) run(script string, code int) (string, error) {
	r.t.Helper()
	r.useThisTree()
	cmd, end := r.command(script)
	defer end()
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

// useThisTree makes a new module of the page use the tidings of this repository, as no released one has what the page says.
func (r *reader) useThisTree() {
	r.t.Helper()
	mod, err := os.ReadFile(filepath.Join(r.dir, "go.mod"))
	if err != nil || bytes.Contains(mod, []byte("replace")) || bytes.Contains(mod, []byte("module github.com/tidings-go/tidings\n")) {
		return
	}
	tree, err := filepath.Abs(root)
	if err != nil {
		r.t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum")) // they are known already, so nobody has to be asked
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("go.mod", string(mod)+"\nreplace github.com/tidings-go/tidings => "+tree+"\n")
	r.write("go.sum", string(sums))
}

func (r *reader) command(script string) (*exec.Cmd, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.t.Context()), commandTimeout)
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = r.dir
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "PATH="+r.bin+string(os.PathListSeparator)+os.Getenv("PATH"), "GOBIN="+r.bin, "GOWORK=off") //nolint:forbidigo // a command of a page has the environment of a reader
	return cmd, cancel
}

// program is what a page has started and not ended.
type program struct {
	cmd *exec.Cmd
	end context.CancelFunc
	out logBook
	// done is closed when the program has ended, with err.
	done chan struct{}
	err  error
}

func (r *reader) start(script string) {
	r.t.Helper()
	if r.program != nil {
		r.interrupt()
	}
	p := &program{done: make(chan struct{})}
	p.cmd, p.end = r.command("exec " + script) // the signal is for the program, not for a shell
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.program = p
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
}

// await waits until the program has said what a block says.
func (r *reader) await(b block) {
	r.t.Helper()
	if r.program == nil {
		r.t.Fatalf("%s:%d: nothing runs that could say this", r.page.name, b.line)
	}
	testenv.Eventually(r.t, waitTimeout, func() error {
		said := r.words.theirs(r.program.out.String())
		if matches("…\n"+b.text+"…", said) {
			return nil
		}
		select {
		case <-r.program.done:
			r.t.Fatalf("%s:%d: the program has ended (%v) and said\n%s", r.page.name, b.line, r.program.err, said)
		default:
		}
		return fmt.Errorf("%s:%d: want\n%s\nit has said\n%s", r.page.name, b.line, b.text, said)
	})
}

// interrupt ends the program as Ctrl-C does.
func (r *reader) interrupt() {
	r.t.Helper()
	p := r.program
	r.program = nil
	defer p.end()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Error(err)
	}
	if <-p.done; p.err != nil {
		r.t.Errorf("%s: the program ended badly: %v\n%s", r.page.name, p.err, p.out.String())
	}
}

// logBook is what a program has said so far.
type logBook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var spaces = regexp.MustCompile(` {2,}`)

// matches compares what was printed with what a page shows: "…" in a line is anything, a line of "…" alone is any lines, and columns may be wider.
func matches(want, got string) bool {
	tidy := func(s string) []string {
		return strings.Split(strings.TrimSpace(spaces.ReplaceAllString(s, "  ")), "\n")
	}
	var expr strings.Builder
	expr.WriteString(`\A\n?`)
	for _, line := range tidy(want) {
		if line = strings.TrimRight(line, " "); line == "…" {
			expr.WriteString(`(?:[^\n]*\n)*`)
			continue
		}
		expr.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", `[^\n]*`) + ` *\n`)
	}
	expr.WriteString(`\z`)
	return regexp.MustCompile(expr.String()).MatchString(strings.Join(tidy(got), "\n") + "\n")
}
