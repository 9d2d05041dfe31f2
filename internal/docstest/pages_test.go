package docstest_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/internal/testenv"
)

// elsewhere are commands that are not run here, since they need a port that may be taken or run this test too, and the place of what runs them.
var elsewhere = map[string]struct{ file, text string }{
	"go run ./cmd/tidings demo": {"cmd/tidings/main_test.go", "func TestDemoRunsUntilItIsInterrupted("},
	"make test":                 {".ci/run", "make --no-print-directory test"},
}

// Every command in a page is run, on real servers where it names them, and prints what the page shows.
func TestCommandsDoWhatThePagesSay(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	build(t, root, filepath.Join(bin, "tidings"), "./cmd/tidings")
	t.Run("in passing", func(t *testing.T) {
		t.Parallel()
		commandsExist(t, filepath.Join(bin, "tidings"))
	})
	for _, p := range pages(t, "README.md", "docs/*.md") {
		t.Run(strings.TrimSuffix(filepath.Base(p.name), ".md"), func(t *testing.T) {
			t.Parallel()
			if err := newReader(t, p, bin).read(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

var comment = regexp.MustCompile(`\s+#.*$`)

// runnable is a script without what is run elsewhere.
func runnable(script string) string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		if _, ok := elsewhere[comment.ReplaceAllString(line, "")]; !ok {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func TestWhatIsRunElsewhereIs(t *testing.T) {
	t.Parallel()
	for command, place := range elsewhere {
		if content, err := os.ReadFile(filepath.Join(root, place.file)); err != nil || !strings.Contains(string(content), place.text) {
			t.Errorf("%s is not run by %q of %s (%v)", command, place.text, place.file, err)
		}
	}
}

// Programs are built without the race detector, as a reader does it.
func build(t *testing.T, dir, program, pkg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
}

// newReader gives a page a folder, servers and names of its own. The README is read in the repository. A page that goes on from "getting-started.md" finds
// the service of that page in the folder, and as a program.
func newReader(t *testing.T, p *page, bin string) *reader {
	t.Helper()
	r := &reader{page: p, bin: bin, dir: t.TempDir(), words: newDictionary(t, strings.Join(p.lines, "\n"))}
	if p.name == "README.md" {
		r.dir = root
	}
	if slices.Contains(p.lines, "<!-- given: boxoffice -->") {
		service, err := os.ReadFile(filepath.Join(root, "docs/boxoffice/main.go"))
		if err == nil {
			err = r.save("main.go", r.words.ours(string(service)))
		}
		for _, script := range []string{"go mod init example.com/boxoffice", "go mod tidy && go build -o $GOBIN/boxoffice ."} {
			if err == nil {
				_, err = r.run(t.Context(), r.words.ours(script), 0)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// dictionary translates between what pages say and what this test has: pages say localhost, and all have a service called boxoffice.
type dictionary struct{ toOurs, toTheirs *strings.Replacer }

func (d *dictionary) ours(s string) string   { return d.toOurs.Replace(s) }
func (d *dictionary) theirs(s string) string { return d.toTheirs.Replace(s) }

func newDictionary(t *testing.T, text string) *dictionary {
	t.Helper()
	name := "boxoffice" + strings.ToLower(rand.Text()[:8]) + "k" // the plural of which is the name and an s
	var pairs [][2]string
	if strings.Contains(text, kafkaURL) {
		pairs = append(pairs, [2]string{kafkaURL, testenv.Kafka(t)})
	}
	if strings.Contains(text, postgresURL) || strings.Contains(text, loginURL) {
		database := newDatabase(t, name)
		u, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(name, "secret")
		pairs = append(pairs, [2]string{loginURL, u.String()}, [2]string{postgresURL, database})
	}
	pairs = append(pairs, [2]string{"127.0.0.1:8080", "127.0.0.1:" + strconv.Itoa(testenv.FreePort(t))}, [2]string{"boxoffice", name})
	var there, back []string
	for _, p := range pairs {
		there, back = append(there, p[0], p[1]), append(back, p[1], p[0])
	}
	return &dictionary{strings.NewReplacer(there...), strings.NewReplacer(back...)}
}

// URLs of servers in pages. The second has a role that the page has made.
const (
	kafkaURL    = "kafka://localhost:9092"
	postgresURL = "postgres://localhost/boxoffice"
	loginURL    = "postgres://boxoffice:secret@localhost/boxoffice"
)

// newDatabase makes a database, which goes with the test, and so does a role of the same name if the page makes one.
func newDatabase(t *testing.T, name string) string {
	t.Helper()
	server := testenv.Postgres(t)
	exec := func(ctx context.Context, statement string) {
		if err := runSQL(ctx, server, statement); err != nil {
			t.Error(err)
		}
	}
	exec(t.Context(), "CREATE DATABASE "+name)
	t.Cleanup(func() {
		exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		exec(context.Background(), "DROP ROLE IF EXISTS "+name)
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func runSQL(ctx context.Context, server, statements string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.PgConn().Exec(ctx, statements).ReadAll()
	return err
}
