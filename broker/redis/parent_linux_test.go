package redis_test

import (
	"os/exec"
	"syscall"
)

// endWithParent has a server killed when the test's process ends, however it ends.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
