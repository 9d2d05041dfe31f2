//go:build unix && !linux

package redis_test

import "os/exec"

// endWithParent can't be done here: a test that is killed leaves its servers behind.
func endWithParent(*exec.Cmd) {}
