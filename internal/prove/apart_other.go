//go:build !linux

package prove

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
)

// Apart runs the program in a network of its own, which only Linux has.
func Apart(context.Context, string, []string, io.Writer, io.Writer) (code int, ok bool) {
	return 0, false
}

var errNotApart = errors.New("prove: a network apart needs Linux")

func everywhere() error                   { return errNotApart }
func answersItself(syscall.RawConn) error { return errNotApart }

// push does nothing where the system does not offer it.
func push(*os.File) {}
