//go:build !linux

package journal

import "os"

func openFile(name string, flag int) (f *os.File, direct bool, err error) {
	f, err = os.OpenFile(name, flag, 0o600)
	return f, false, err
}

// syncData waits until the bytes of a file are on the disk.
func syncData(f *os.File) error { return f.Sync() }

func moreMemory(n int) ([]byte, error) { return make([]byte, n), nil }

func lessMemory([]byte) {}
