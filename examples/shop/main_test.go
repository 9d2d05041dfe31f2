package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/internal/testenv"
)

// TestMain makes this binary the program when a test says so, so that tests can start and kill it.
func TestMain(m *testing.M) {
	if testenv.Child() == "shop" {
		main()
		os.Exit(0)
	}
	code := m.Run()
	if dir := toolDir.Load(); dir != nil {
		_ = os.RemoveAll(*dir)
	}
	os.Exit(code)
}

// The program prints lines to try; each of them works as it is printed, one after the other.
func TestTheLinesThatItPrintsWork(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "a shop")
	r := begin(t, program(t.Context(), "--addr", "127.0.0.1:0", "--data", data))
	curls := r.starting("curl ")
	if len(curls) != len(lines) {
		t.Errorf("it printed %d lines to try", len(curls))
	}
	for _, line := range curls {
		testenv.Eventually(t, 20*time.Second, func() error { // what an event leads to takes a moment
			answer, bad := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
			if bad != nil || !json.Valid(answer) || bytes.Contains(answer, []byte(`"code":`)) && !bytes.Contains(answer, []byte(`"openapi"`)) {
				return fmt.Errorf("%s: %w: %s", line, bad, answer)
			}
			return nil
		})
	}
	commands := r.starting("go run ./")
	if len(commands) != 2 {
		t.Fatalf("it printed %q", commands)
	}
	letters := strings.Replace(commands[0], "go run ./cmd/tidings", tool(t), 1)
	testenv.Eventually(t, 20*time.Second, func() error {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", letters).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("customer.updated")) {
			return fmt.Errorf("%s: %w: %s", letters, err, out)
		}
		return nil
	})
	second := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(commands[1], "go run ./examples/shop", "exec "+os.Args[0], 1))
	second.Env = testenv.AsChild("shop")
	joined := begin(t, second)
	if got := strings.Join(joined.lines, "\n"); !strings.Contains(got, "The shop (reader) is at") || len(joined.starting("curl ")) != 4 {
		t.Errorf("the second reader printed %s", got)
	}
	joined.interrupt(t)
	r.interrupt(t)
}

func TestTheReadmeHasTheSameLines(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	o := options{config: config{Roles: []string{customers, products, readers}, Store: "sqlite:FOLDER/" + placeholder + ".db"}, data: "FOLDER", embedded: true}
	for line := range strings.Lines(welcome(&o, "http://127.0.0.1:8080")) {
		line = strings.ReplaceAll(line, "'sqlite:FOLDER/reader.db'", "sqlite:FOLDER/reader.db")
		line = strings.ReplaceAll(line, "'FOLDER'", "FOLDER")
		if (strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "go run")) && !strings.Contains(string(readme), line) {
			t.Errorf("README.md lacks %s", line)
		}
	}
}

// The processes that the README starts on Kafka and PostgreSQL work together.
func TestTheProcessesOfTheReadmeWork(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "createdb shop\n")
	text, _, _ = strings.Cut(text, "```")
	database, prefix := newDatabase(t)+"&pool_max_conns=6", newPrefix()
	here := strings.NewReplacer(
		`at="--broker kafka://localhost --store postgres://localhost/shop"`, "at='--broker "+testenv.Kafka(t)+" --store "+database+" --prefix "+prefix+"'",
		"kafka://localhost", testenv.Kafka(t), "postgres://localhost/shop?", database+"&", "127.0.0.1:808", "127.0.0.1:0 #",
		"go run ./examples/shop", "exec "+os.Args[0], "go run ./cmd/tidings", "exec "+tool(t), " &\n", "\n",
	).Replace(text)
	variable, commands, _ := strings.Cut(here, "\n")
	urls := map[string]string{}
	for line := range strings.Lines(commands) {
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", "-c", variable+"\n"+line)
		if strings.Contains(line, " relay ") {
			launch(t, cmd)
			continue
		}
		cmd.Env = testenv.AsChild("shop")
		r := begin(t, cmd)
		role, url, _ := strings.Cut(strings.TrimPrefix(r.lines[0], "The shop ("), ") is at ")
		urls[role] = url
	}
	const id = `"0a000000-0000-4000-8000-000000000001"`
	if status, _, answer := send(t, "POST", urls[customers]+"/customers", `{"customer_id":`+id+`,"name":"Ada","email":"ada@example.com"}`); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
	testenv.Eventually(t, 60*time.Second, func() error {
		if status, _, answer := send(t, "POST", urls[readers]+"/reader/find", `{"id":`+id+`}`); status != 200 {
			return fmt.Errorf("%d %s", status, answer)
		}
		return nil
	})
}

func TestWrongCallsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--load", "-1"}, {"-o", "xml"}, {"load"}, {"--brocker", "nats://localhost"}, {"--role", "cashier"}, {"--role", "reader", "--load", "5"}, {"--relay=false", "--load", "5"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	for store, want := range map[string]string{
		"postgres://localhost/shop":                 "postgres://localhost/shop?schema={service}&search_path={service}",
		"postgres://localhost/shop?sslmode=disable": "postgres://localhost/shop?sslmode=disable&schema={service}&search_path={service}",
		"postgres://localhost/{service}":            "postgres://localhost/{service}",
		"sqlite:{service}.db":                       "sqlite:{service}.db",
		"sqlite:shop.db":                            "",
		"memory:":                                   "",
	} {
		if got, err := storeOfEach(store); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v", store, got, err)
		}
	}
}
