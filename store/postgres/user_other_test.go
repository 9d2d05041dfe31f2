//go:build !unix

package postgres_test

import "syscall"

// asUser is for root only, whom other systems don't have.
func asUser(_, _ int) *syscall.SysProcAttr { return nil }
