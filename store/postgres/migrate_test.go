package postgres_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store"
	"github.com/tidings-go/tidings/store/postgres"
)

func TestASchemaOfANewerVersion(t *testing.T) {
	t.Parallel()
	schema := newSchema(t)
	s := openSchema(t, schema)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, testenv.Postgres(t), `UPDATE `+schema+`.meta SET version = 99`)
	if err := s.Migrate(t.Context()); !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("Migrate returned %v, want store.ErrNewer", err)
	}
	if _, err := postgres.Open(t.Context(), testenv.Postgres(t), postgres.Config{Schema: schema}); !errors.Is(err, store.ErrNewer) {
		t.Errorf("Open returned %v, want store.ErrNewer", err)
	}
}

func TestTheScriptIsWhatMigrateDoes(t *testing.T) {
	t.Parallel()
	schema := newSchema(t)
	script, err := postgres.Migrations(schema)
	if err != nil {
		t.Fatal(err)
	}
	run(t, testenv.Postgres(t), script)
	s := openSchema(t, schema)
	if s.Script() != script {
		t.Error("the store has another script")
	}
	status, err := s.Status(t.Context())
	if err != nil || status.Version != status.Latest || status.Latest == 0 {
		t.Errorf("after the script the status is %+v, %v", status, err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Errorf("after the script Migrate returned %v", err)
	}
}

// Whoever may not make a schema can have it made by somebody else.
func TestMigrateWithoutTheRightToMakeSchemas(t *testing.T) {
	t.Parallel()
	url, schema := testenv.Postgres(t), newSchema(t)
	run(t, url, `CREATE ROLE `+schema+` LOGIN PASSWORD 'password'`, `CREATE SCHEMA `+schema+` AUTHORIZATION `+schema)
	t.Cleanup(func() { run(t, url, `DROP SCHEMA `+schema+` CASCADE`, `DROP ROLE `+schema) })
	s := open(t, withUser(t, url, schema), postgres.Config{Schema: schema})
	if err := s.Migrate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTenProcessesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	schema := newSchema(t)
	var together sync.WaitGroup
	for range 10 {
		child := start(t, "migrate", schema, "")
		together.Go(func() {
			if err := child.cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	together.Wait()
	status, err := openSchema(t, schema).Status(t.Context())
	if err != nil || status.Version != status.Latest {
		t.Errorf("after ten migrations the status is %+v, %v", status, err)
	}
}
