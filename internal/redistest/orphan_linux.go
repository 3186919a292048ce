package redistest

import "syscall"

// dieWithParent has the kernel end a server whose test was itself ended in a way
// that leaves it no time to clean up.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
