package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidings-go/tidings/examples/internal/trial"
	"github.com/tidings-go/tidings/internal/testenv"
)

// tool is the command tidings.
var tool trial.Tool

func TestMain(m *testing.M) { trial.Main(m, main, tool.Remove) }

// The program prints lines to try; each of them works as it is printed, one after the other.
func TestTheLinesThatItPrintsWork(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "a shop")
	first := trial.Start(t, trial.Program(t, "--addr", "127.0.0.1:0", "--data", data))
	curls := first.Lines("curl ")
	if len(curls) != len(lines) {
		t.Errorf("it printed %d lines to try", len(curls))
	}
	trial.Curl(t, curls)
	commands := first.Lines("go run ./")
	if len(commands) != 2 {
		t.Fatalf("it printed %q", commands)
	}
	letters := strings.Replace(commands[0], "go run ./cmd/tidings", tool.Path(t), 1)
	testenv.Eventually(t, 20*time.Second, func() error {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", letters).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("customer.updated")) {
			return fmt.Errorf("%s: %w: %s", letters, err, out)
		}
		return nil
	})
	join := strings.Replace(commands[1], "go run ./examples/shop", "exec "+os.Args[0], 1)
	second := trial.Start(t, trial.AsProgram(exec.CommandContext(t.Context(), "sh", "-c", join)))
	if len(second.Lines("The shop (reader) is at")) != 1 || len(second.Lines("curl ")) != 4 {
		t.Errorf("the second reader printed %q", second.Lines(""))
	}
	second.Interrupt()
	first.Interrupt()
}

func TestTheReadmeHasTheSameLines(t *testing.T) {
	o := options{config: config{Roles: []string{customers, products, readers}, Store: "sqlite:FOLDER/" + placeholder + ".db"}, data: "FOLDER", embedded: true}
	trial.Readme(t, strings.NewReplacer("'sqlite:FOLDER/reader.db'", "sqlite:FOLDER/reader.db", "'FOLDER'", "FOLDER").Replace(welcome(&o, "http://127.0.0.1:8080")))
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
	database, prefix := trial.Postgres(t, "shop")+"&pool_max_conns=6", newPrefix()
	here := strings.NewReplacer(
		`at="--broker kafka://localhost --store postgres://localhost/shop"`, "at='--broker "+testenv.Kafka(t)+" --store "+database+" --prefix "+prefix+"'",
		"kafka://localhost", testenv.Kafka(t), "postgres://localhost/shop?", database+"&", "127.0.0.1:808", "127.0.0.1:0 #",
		"go run ./examples/shop", "exec "+os.Args[0], "go run ./cmd/tidings", "exec "+tool.Path(t), " &\n", "\n",
	).Replace(text)
	variable, commands, _ := strings.Cut(here, "\n")
	urls := map[string]string{}
	for line := range strings.Lines(commands) {
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "sh", "-c", variable+"\n"+line)
		if strings.Contains(line, " relay ") {
			trial.Start(t, cmd)
			continue
		}
		p := trial.Start(t, trial.AsProgram(cmd))
		role, url, _ := strings.Cut(strings.TrimPrefix(p.Lines("The shop (")[0], "The shop ("), ") is at ")
		urls[role] = url
	}
	const id = `"0a000000-0000-4000-8000-000000000001"`
	trial.Send(t, "POST", urls[customers]+"/customers", `{"customer_id":`+id+`,"name":"Ada","email":"ada@example.com"}`).Want(t, 200, id)
	testenv.Eventually(t, 60*time.Second, func() error {
		if a := trial.Send(t, "POST", urls[readers]+"/reader/find", `{"id":`+id+`}`); a.Status != 200 {
			return errors.New(a.String())
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
