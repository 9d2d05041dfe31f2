//go:build !unix

package brokertest

import "syscall"

// canFreeze says that processes can be stopped and go on. Here they can't, so replicas are never processes and the signals are never sent.
const canFreeze = false

const (
	sigFreeze = syscall.SIGTERM
	sigThaw   = syscall.SIGTERM
)
