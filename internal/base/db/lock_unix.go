//go:build unix

package db

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"yarrow.health/internal/standards/fhir"
)

// lockFolder keeps a second process out of the data folder: two writers would each believe to be the only one.
// The lock belongs to the process and ends with it, however it ends.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, notStored(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, notStored(err)
		}
		holder, _ := io.ReadAll(io.LimitReader(f, 20)) // only to name it
		return nil, fhir.Problem("lock-error", fmt.Sprintf("Another Yarrow (process %s) has the data folder %s open.",
			strings.TrimSpace(string(holder)), dir),
			"Stop it first, or work on another folder with --data.").Because(err)
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, notStored(err)
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		f.Close()
		return nil, notStored(err)
	}
	return f, nil
}

func unlockFolder(f *os.File) error { return f.Close() }
