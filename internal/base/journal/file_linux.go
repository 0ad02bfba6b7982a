package journal

import (
	"errors"
	"os"
	"syscall"
)

// openFile opens a file so that a write returns when its bytes are on the disk, past the cache of the operating system: that
// takes two thirds of the processor time of a write and a sync. Where the file system does not know how, direct is false.
func openFile(name string, flag int) (f *os.File, direct bool, err error) {
	f, err = os.OpenFile(name, flag|syscall.O_DIRECT|syscall.O_DSYNC, 0o600)
	if errors.Is(err, syscall.EINVAL) {
		f, err = os.OpenFile(name, flag&^os.O_EXCL, 0o600) // the first attempt may have made it
		return f, false, err
	}
	return f, true, err
}

// syncData waits until the bytes of a file are on the disk.
func syncData(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		for {
			if failed = syscall.Fdatasync(int(fd)); failed != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// moreMemory gives zeroed memory that a direct write can take bytes from: it begins at a page.
func moreMemory(n int) ([]byte, error) {
	return syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
}

// lessMemory gives back what moreMemory gave; b may be any part of it from its beginning, or nil.
func lessMemory(b []byte) {
	if cap(b) > 0 {
		_ = syscall.Munmap(b[:cap(b)]) // fails for what is not ours alone
	}
}
