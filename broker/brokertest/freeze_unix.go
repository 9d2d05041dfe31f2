//go:build unix

package brokertest

import "syscall"

// canFreeze says that processes can be stopped and go on.
const canFreeze = true

const (
	sigFreeze = syscall.SIGSTOP
	sigThaw   = syscall.SIGCONT
)
