package main

// What a FHIR server is asked with: a small HTTP/1.1 client, one keep-alive connection for each worker.

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

type target struct {
	host, hostport, prefix string
	tls                    bool
}

func parseTarget(b string) target {
	u, err := url.Parse(strings.TrimRight(b, "/"))
	if err != nil {
		fatal(err)
	}
	hp := u.Host
	if u.Port() == "" {
		if u.Scheme == "https" {
			hp += ":443"
		} else {
			hp += ":80"
		}
	}
	return target{host: u.Host, hostport: hp, prefix: u.Path, tls: u.Scheme == "https"}
}

type conn struct {
	t    target
	c    net.Conn
	r    *bufio.Reader
	buf  []byte
	body []byte
}

func (c *conn) dial() error {
	nc, err := net.DialTimeout("tcp", c.t.hostport, 10*time.Second)
	if err != nil {
		return err
	}
	if c.t.tls {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true, ServerName: strings.Split(c.t.host, ":")[0]})
	}
	c.c = nc
	c.r = bufio.NewReaderSize(nc, 64<<10)
	return nil
}

// do sends one request and reads the whole response. keep=false discards the body.
func (c *conn) do(method, path string, body []byte, keep bool) (int, []byte, error) {
	if c.c == nil {
		if err := c.dial(); err != nil {
			return 0, nil, err
		}
	}
	b := c.buf[:0]
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, c.t.prefix...)
	b = append(b, path...)
	if c.t.prefix == "" && path == "" {
		b = append(b, '/')
	}
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, c.t.host...)
	b = append(b, "\r\nAccept: application/fhir+json\r\n"...)
	if a := authHeader; a != "" {
		b = append(b, "Authorization: "...)
		b = append(b, a...)
		b = append(b, "\r\n"...)
	}
	if body != nil {
		b = append(b, "Content-Type: application/fhir+json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(body)), 10)
		b = append(b, "\r\n"...)
		if *preferFlag != "" {
			b = append(b, "Prefer: "...)
			b = append(b, *preferFlag...)
			b = append(b, "\r\n"...)
		}
	}
	b = append(b, "\r\n"...)
	if len(body) < 16<<10 {
		b = append(b, body...)
		body = nil
	}
	c.buf = b
	c.c.SetDeadline(time.Now().Add(120 * time.Second))
	if _, err := c.c.Write(b); err != nil {
		c.close()
		return 0, nil, err
	}
	if body != nil {
		if _, err := c.c.Write(body); err != nil {
			c.close()
			return 0, nil, err
		}
	}
	status, bd, err := c.read(keep)
	if err != nil {
		c.close()
	}
	return status, bd, err
}

func (c *conn) close() {
	if c.c != nil {
		c.c.Close()
		c.c = nil
	}
}

func (c *conn) read(keep bool) (int, []byte, error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 {
		return 0, nil, errors.New("bad status line")
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, nil, err
	}
	cl := int64(-1)
	chunked, closeAfter := false, false
	for {
		line, err = c.r.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		if len(line) <= 2 {
			break
		}
		switch {
		case len(line) > 15 && bytes.EqualFold(line[:15], []byte("Content-Length:")):
			cl, _ = strconv.ParseInt(string(bytes.TrimSpace(line[15:])), 10, 64)
		case len(line) > 18 && bytes.EqualFold(line[:18], []byte("Transfer-Encoding:")):
			chunked = bytes.Contains(bytes.ToLower(line[18:]), []byte("chunked"))
		case len(line) > 11 && bytes.EqualFold(line[:11], []byte("Connection:")):
			closeAfter = bytes.Contains(bytes.ToLower(line[11:]), []byte("close"))
		}
	}
	c.body = c.body[:0]
	take := func(n int64) error {
		if keep || status >= 300 {
			off := len(c.body)
			need := off + int(n)
			if cap(c.body) < need {
				nb := make([]byte, off, need*2)
				copy(nb, c.body)
				c.body = nb
			}
			c.body = c.body[:need]
			_, err := io.ReadFull(c.r, c.body[off:])
			return err
		}
		for n > 0 {
			k := n
			if k > 1<<20 {
				k = 1 << 20
			}
			d, err := c.r.Discard(int(k))
			if err != nil {
				return err
			}
			n -= int64(d)
		}
		return nil
	}
	switch {
	case status == 204 || status == 304:
	case chunked:
		for {
			line, err = c.r.ReadSlice('\n')
			if err != nil {
				return 0, nil, err
			}
			s := strings.TrimSpace(string(line))
			if i := strings.IndexByte(s, ';'); i >= 0 {
				s = s[:i]
			}
			n, err := strconv.ParseInt(s, 16, 64)
			if err != nil {
				return 0, nil, err
			}
			if n > 0 {
				if err := take(n); err != nil {
					return 0, nil, err
				}
			}
			if _, err := c.r.Discard(2); err != nil {
				return 0, nil, err
			}
			if n == 0 {
				break
			}
		}
	case cl > 0:
		if err := take(cl); err != nil {
			return 0, nil, err
		}
	case cl < 0:
		b, err := io.ReadAll(c.r)
		if err != nil {
			return 0, nil, err
		}
		c.body = append(c.body, b...)
		closeAfter = true
	}
	if closeAfter {
		c.close()
	}
	return status, c.body, nil
}

var authHeader string

func login() {
	authHeader = *authFlag
	if *tokenURL == "" {
		return
	}
	v := url.Values{"grant_type": {"client_credentials"}, "client_id": {*clientID}, "client_secret": {*clientSec}}
	if *scope != "" {
		v.Set("scope", *scope)
	}
	res, err := http.PostForm(*tokenURL, v)
	if err != nil {
		fatal(err)
	}
	defer res.Body.Close()
	var m struct {
		AccessToken string `json:"access_token"`
	}
	b, _ := io.ReadAll(res.Body)
	if json.Unmarshal(b, &m); m.AccessToken == "" {
		fatal(fmt.Errorf("no token: %s", b))
	}
	authHeader = "Bearer " + m.AccessToken
}
