package prove

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
)

// sector is what a disk writes whole or not at all, in bytes.
const sector = 512

// disk is a device with a volatile cache, served over NBD (the newstyle protocol of github.com/NetworkBlockDevice/nbd, doc/proto.md).
// Writes are answered when they are in the cache; a flush makes durable whatever was answered before it. When its power is cut, each
// sector that was written since the last flush has, by lot, its old contents or those of any of these writes, as the write-back cache
// of a real disk leaves it: what was flushed stays, and nothing of after a flush comes without all of before it.
type disk struct {
	mu     sync.Mutex
	file   *os.File // what is durable
	size   int64
	lying  bool       // flushes are answered and not done
	fresh  []unsynced // since the last flush, in their order
	weight int        // bytes of fresh
	dead   bool

	wrote, flushed int64 // counted
	listener       net.Listener
	conns          []net.Conn
	serving        sync.WaitGroup
}

// unsynced is a write that no flush has made durable yet.
type unsynced struct {
	at   int64
	data []byte
}

// A disk's cache is small: one that is full is written out, as if flushed.
const diskCache = 256 << 20

var errPower = errors.New("prove: the disk has no power")

// newDisk serves an image over a socket until it is cut.
func newDisk(image, socket string, lying bool) (*disk, error) {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	d := &disk{file: f, size: info.Size(), lying: lying}
	if d.listener, err = net.Listen("unix", socket); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	d.serving.Go(func() {
		for {
			c, err := d.listener.Accept()
			if err != nil {
				return
			}
			d.mu.Lock()
			d.conns = append(d.conns, c)
			d.mu.Unlock()
			d.serving.Go(func() {
				defer c.Close()
				_ = d.serve(c)
			})
		}
	})
	return d, nil
}

// Of a write to the first block all or nothing is kept, as of a block of today's disks: ext4 has its superblock there, of two sectors that
// it writes in place, and takes two halves for a ruin. Everything above it must get along with less.
const firstBlock = 4096

// cut takes the power away. Of what was not flushed, each sector of each write is kept with the given chance.
func (d *disk) cut(draw *rand.Rand, chance float64) (kept, lost int64, err error) {
	d.mu.Lock()
	d.dead = true
	for _, w := range d.fresh {
		for at := 0; at < len(w.data); {
			n := int(max(sector, firstBlock-w.at-int64(at)))
			piece := w.data[at:min(at+n, len(w.data))]
			whole := int64(len(piece)+sector-1) / sector
			if draw.Float64() < chance {
				kept += whole
				if _, e := d.file.WriteAt(piece, w.at+int64(at)); e != nil {
					err = errors.Join(err, e)
				}
			} else {
				lost += whole
			}
			at += len(piece)
		}
	}
	d.fresh = nil
	for _, c := range d.conns {
		_ = c.Close()
	}
	d.mu.Unlock()
	_ = d.listener.Close()
	d.serving.Wait()
	return kept, lost, errors.Join(err, d.file.Close())
}

func (d *disk) write(at int64, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errPower
	}
	if d.weight+len(data) > diskCache && !d.lying {
		if err := d.drain(); err != nil {
			return err
		}
	}
	d.fresh, d.weight, d.wrote = append(d.fresh, unsynced{at, data}), d.weight+len(data), d.wrote+1
	return nil
}

// drain makes everything durable.
func (d *disk) drain() error {
	for _, w := range d.fresh {
		if _, err := d.file.WriteAt(w.data, w.at); err != nil {
			return err
		}
	}
	d.fresh, d.weight = nil, 0
	return nil
}

func (d *disk) flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errPower
	}
	d.flushed++
	if d.lying {
		return nil
	}
	return d.drain()
}

// read gives what was written last, flushed or not.
func (d *disk) read(at int64, b []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errPower
	}
	if _, err := d.file.ReadAt(b, at); err != nil {
		return err
	}
	for _, w := range d.fresh {
		if from, to := max(at, w.at), min(at+int64(len(b)), w.at+int64(len(w.data))); from < to {
			copy(b[from-at:to-at], w.data[from-w.at:to-w.at])
		}
	}
	return nil
}

// Numbers of the protocol.
const (
	nbdMagic    = 0x4e42444d41474943
	nbdOption   = 0x49484156454f5054
	nbdReply    = 0x0003e889045565a9
	nbdRequest  = 0x25609513
	nbdAnswer   = 0x67446698
	nbdExport   = 1 // NBD_OPT_EXPORT_NAME
	nbdAbort    = 2
	nbdInfo     = 6
	nbdGo       = 7
	nbdAck      = 1
	nbdIsInfo   = 3
	nbdUnknown  = 0x80000001
	nbdCanFlush = 1 | 1<<2 | 1<<6 // it has flags, and knows flush and write-zeroes
	longestNBD  = 64 << 20
)

func (d *disk) serve(c net.Conn) error {
	r := bufio.NewReaderSize(c, 1<<16)
	hello := binary.BigEndian.AppendUint64(nil, nbdMagic)
	hello = binary.BigEndian.AppendUint64(hello, nbdOption)
	hello = binary.BigEndian.AppendUint16(hello, 1|2) // fixed newstyle, no zeroes
	if _, err := c.Write(hello); err != nil {
		return err
	}
	var flags [4]byte
	if _, err := io.ReadFull(r, flags[:]); err != nil {
		return err
	}
	for {
		var head [16]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		option, n := binary.BigEndian.Uint32(head[8:]), binary.BigEndian.Uint32(head[12:])
		if binary.BigEndian.Uint64(head[:]) != nbdOption || n > 1<<16 {
			return errors.New("prove: no option of NBD")
		}
		if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
			return err
		}
		reply := func(kind uint32, data []byte) error {
			b := binary.BigEndian.AppendUint64(nil, nbdReply)
			b = binary.BigEndian.AppendUint32(b, option)
			b = binary.BigEndian.AppendUint32(b, kind)
			b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
			_, err := c.Write(append(b, data...))
			return err
		}
		about := binary.BigEndian.AppendUint64(nil, uint64(d.size))
		about = binary.BigEndian.AppendUint16(about, nbdCanFlush)
		switch option {
		case nbdExport:
			if _, err := c.Write(about); err != nil {
				return err
			}
			return d.transmit(c, r)
		case nbdInfo, nbdGo:
			if err := reply(nbdIsInfo, append([]byte{0, 0}, about...)); err != nil {
				return err
			}
			if err := reply(nbdAck, nil); err != nil {
				return err
			}
			if option == nbdGo {
				return d.transmit(c, r)
			}
		case nbdAbort:
			return reply(nbdAck, nil)
		default:
			if err := reply(nbdUnknown, nil); err != nil {
				return err
			}
		}
	}
}

// transmit carries out commands, one after the other: what is answered before a flush is therefore flushed.
func (d *disk) transmit(c net.Conn, r *bufio.Reader) error {
	for {
		var head [28]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		kind := binary.BigEndian.Uint16(head[6:])
		at, n := int64(binary.BigEndian.Uint64(head[16:])), int64(binary.BigEndian.Uint32(head[24:]))
		if binary.BigEndian.Uint32(head[:]) != nbdRequest {
			return errors.New("prove: no command of NBD")
		}
		if kind == 2 {
			return nil // the client goes
		}
		if n > longestNBD || at < 0 || at+n > d.size {
			return fmt.Errorf("prove: command %d of %d bytes at %d", kind, n, at)
		}
		answer := binary.BigEndian.AppendUint32(nil, nbdAnswer)
		answer = append(append(answer, 0, 0, 0, 0), head[8:16]...)
		var err error
		switch kind {
		case 0:
			answer = append(answer, make([]byte, n)...)
			err = d.read(at, answer[16:])
		case 1, 6: // data, or zeroes
			data := make([]byte, n)
			if kind == 1 {
				if _, err := io.ReadFull(r, data); err != nil {
					return err
				}
			}
			err = d.write(at, data)
		case 3:
			err = d.flush()
		default:
			err = errors.New("prove: a command that was not offered")
		}
		if err != nil {
			binary.BigEndian.PutUint32(answer[4:], 5) // EIO
			answer = answer[:16]
		}
		if _, err := c.Write(answer); err != nil {
			return err
		}
	}
}
