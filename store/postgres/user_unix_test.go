//go:build unix

package postgres_test

import "syscall"

// asUser makes a process run as somebody else.
func asUser(uid, gid int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
