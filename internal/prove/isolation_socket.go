package prove

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

var (
	bindingForm = regexp.MustCompile(`"name":"token","valueString":"([^"]+)"`)
	// A fixed key is as good as any: nobody stands between.
	socketHead = "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

// socket reads a subscription over a WebSocket (RFC 6455) until ctx ends. It is spoken over a pipe, since nothing here dials.
func (j *judge) socket(ctx context.Context, k key, id string) (*flow, error) {
	s := send(ctx, j.p.Handler, probe{method: "GET", path: "/" + k.practice.Slug + "/fhir/Subscription/" + id + "/$get-ws-binding-token"}, k.header)
	token := bindingForm.FindSubmatch(s.body)
	if token == nil {
		return nil, fmt.Errorf("prove: no token binds a WebSocket: %d %.300s", s.status, s.body)
	}
	near, far := net.Pipe()
	l := &oneConn{conn: make(chan net.Conn, 1), over: make(chan struct{})}
	l.conn <- far
	srv := &http.Server{Handler: j.p.Handler, ReadHeaderTimeout: streamWithin, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = srv.Serve(l) }()
	stop := context.AfterFunc(ctx, func() { _ = near.Close() })
	f := &flow{header: http.Header{}, ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		defer srv.Close()
		defer stop()
		_ = f.speak(near, "/"+k.practice.Slug+"/subscriptions/ws", "bind-with-token "+string(token[1]))
	}()
	return f, nil
}

// speak opens a WebSocket, says one thing and keeps what comes.
func (f *flow) speak(c net.Conn, path, say string) error {
	if _, err := fmt.Fprintf(c, socketHead, path, strings.TrimPrefix(Origin, "https://")); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	f.WriteHeader(answer.StatusCode)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("prove: the WebSocket is answered %d", answer.StatusCode)
	}
	// One text frame, masked as clients must, here with zeros.
	frame := []byte{0x81, 0x80 | 126}
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(say)))
	frame = append(append(frame, 0, 0, 0, 0), say...)
	if _, err := c.Write(frame); err != nil {
		return err
	}
	for {
		body, err := readFrame(r)
		if err != nil {
			return err
		}
		_, _ = f.Write(append(body, '\n'))
	}
}

// readFrame gives the payload of one frame of a server.
func readFrame(r *bufio.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := uint64(head[1] & 0x7f)
	if wide := map[uint64]int{126: 2, 127: 8}[n]; wide > 0 {
		var b [8]byte
		if _, err := io.ReadFull(r, b[8-wide:]); err != nil {
			return nil, err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	if n > 16<<20 {
		return nil, fmt.Errorf("prove: a frame of %d bytes", n)
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r, body)
	return body, err
}

// oneConn is a listener of one connection.
type oneConn struct {
	conn chan net.Conn
	over chan struct{}
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
