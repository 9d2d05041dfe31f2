package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// toolDir is where the command tidings was built, for TestMain to remove.
var toolDir atomic.Pointer[string]

// build builds the command tidings, once: what relays is the real program.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "shop-test-")
	if err != nil {
		return "", err
	}
	toolDir.Store(&dir)
	path := filepath.Join(dir, "tidings")
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/tidings").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cmd/tidings: %w: %s", err, out)
	}
	return path, nil
})
