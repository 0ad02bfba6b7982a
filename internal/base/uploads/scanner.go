package uploads

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"yarrow.health/internal/base/clock"
	"yarrow.health/internal/base/egress"
	"yarrow.health/internal/standards/fhir"
)

// Scanner asks a ClamAV daemon, by its command INSTREAM (clamd(8)). While it does not answer nothing is taken in.
type Scanner struct {
	address string
	out     *egress.Client
}

const (
	scanWithin = 30 * time.Second
	scanPiece  = 64 << 10
	scanAnswer = 4 << 10
)

// NewScanner makes a scanner of an address: unix:/run/clamav/clamd.ctl, or tcp://host:3310 of the operator's own network, since what
// is sent there is not encrypted.
func NewScanner(address string) (*Scanner, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok && strings.HasPrefix(path, "/") {
		out, err := egress.New(nil)
		return &Scanner{address, out}, err
	}
	u, err := url.Parse(address)
	port := 0
	if err == nil && u.Scheme == "tcp" && u.Path == "" && u.Hostname() != "" {
		port, err = strconv.Atoi(u.Port())
	}
	if err != nil || port == 0 {
		return nil, fhir.Problem("value", "The address of the virus scanner cannot be read.", "Write unix:/run/clamav/clamd.ctl or tcp://HOST:3310.")
	}
	out, err := egress.New([]egress.Destination{{Host: strings.ToLower(u.Hostname()), Ports: []int{port}, Purpose: "virus scanner", Agreement: "the operator's own machine", Private: true, Plain: true}})
	if err != nil {
		return nil, err
	}
	return &Scanner{"tcp:" + net.JoinHostPort(strings.ToLower(u.Hostname()), u.Port()), out}, nil
}

// scan gives what is wrong with bytes, nil when the scanner found nothing.
func (s *Scanner) scan(ctx context.Context, data []byte) *fhir.Issue {
	verdict, err := s.ask(ctx, data)
	switch {
	case err == nil && verdict == "OK":
		return nil
	case err == nil && strings.HasSuffix(verdict, " FOUND"):
		return fhir.Problem("business-rule", "The virus scanner refuses this attachment.", "Do not open it. Ask whoever it comes from for a clean one.").
			Because(errors.New("uploads: " + verdict))
	case err == nil:
		err = fmt.Errorf("uploads: the scanner says %.200q", verdict)
	}
	return fhir.Problem("transient", "This attachment cannot be scanned for viruses right now, so it was not taken.",
		"Try again in a minute. If it goes on, tell whoever looks after this server.").Because(err)
}

// ask gives the daemon's verdict: "OK", "NAME FOUND" or an error of its own.
func (s *Scanner) ask(ctx context.Context, data []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, scanWithin)
	defer cancel()
	conn, err := s.out.Connect(ctx, s.address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(clock.System().Now().Add(scanWithin)); err != nil {
		return "", err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	sent := func() error {
		if _, err := conn.Write([]byte("zINSTREAM\x00")); err != nil {
			return err
		}
		for rest := data; ; rest = rest[min(len(rest), scanPiece):] {
			piece := rest[:min(len(rest), scanPiece)] // an empty one ends the stream
			if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(piece))), piece...)); err != nil || len(piece) == 0 {
				return err
			}
		}
	}()
	// The daemon answers at once, and hangs up, when it takes no more: what it said counts more than that it could not be told the rest.
	answer, err := io.ReadAll(io.LimitReader(conn, scanAnswer))
	if line, _, ok := bytes.Cut(answer, []byte{0}); ok {
		return strings.TrimPrefix(string(line), "stream: "), nil
	}
	return "", errors.Join(sent, err, io.ErrUnexpectedEOF)
}
