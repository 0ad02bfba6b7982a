package db

import (
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// pageVFS encrypts every file SQLite opens: database, WAL, journals, temporary files. The key of a database is looked
// up by the number in its URI (`store=17`), so that no key is ever in a file name, an error or a log.
type pageVFS struct {
	vfs.VFS

	mu    sync.RWMutex
	known map[PracticeID]*vfsStore
}

// vfsStore is what the connections to one practice share.
type vfsStore struct {
	pages *pageCipher
	wal   walGate
}

func newPageVFS() *pageVFS {
	return &pageVFS{VFS: vfs.Find(""), known: make(map[PracticeID]*vfsStore)}
}

func (v *pageVFS) setKey(id PracticeID, key []byte) error {
	c, err := newPageCipher(key)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known[id] = &vfsStore{pages: c}
	return nil
}

func (v *pageVFS) forget(id PracticeID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.known, id)
}

// Open is called for files without a name.
func (v *pageVFS) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	if name != "" {
		return nil, flags, sqlite3.CANTOPEN
	}
	return v.OpenFilename(nil, flags)
}

// OpenFilename opens a file with the key its URI names, a temporary one with a key of its own.
func (v *pageVFS) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	c, err := v.storeOf(name)
	if err != nil {
		return nil, flags, err
	}
	file, flags, err := vfsutil.WrapOpenFilename(v.VFS, name, flags)
	if err != nil {
		return nil, flags, err
	}
	if flags&vfs.OPEN_MEMORY != 0 {
		return file, flags, nil
	}
	f := &pageFile{File: file, sectors: sectors{file: file, cipher: c.pages}}
	if flags&vfs.OPEN_WAL != 0 {
		f.wal = &c.wal
	}
	return f, flags, nil
}

func (v *pageVFS) storeOf(name *vfs.Filename) (*vfsStore, error) {
	if name == nil {
		key := make([]byte, 64)
		rand.Read(key)
		c, err := newPageCipher(key)
		return &vfsStore{pages: c}, err
	}
	id, err := strconv.ParseInt(name.URIParameter("store"), 10, 64)
	if err != nil {
		return nil, sqlite3.IOERR_BADKEY
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	c := v.known[PracticeID(id)]
	if c == nil {
		return nil, sqlite3.IOERR_BADKEY
	}
	return c, nil
}

// pageFile is one open file. Optional abilities of the file beneath that matter here are passed on.
type pageFile struct {
	vfs.File
	sectors sectors
	wal     *walGate // for a WAL; shared by all connections to the practice
}

// walGate stands before a WAL. It does two things.
//
// A commit writes its frames one by one, each as a header and a page, and then syncs. The gate gathers them, so that
// they are encrypted and written together: at the latest by Sync, or when anyone reads.
//
// Frames do not end where cipher blocks end. Writing the next frame changes the block that holds the last bytes of a
// committed one, and a reader must not see that block half written. The gate lets readers wait for the write.
type walGate struct {
	mu      sync.RWMutex
	pending []byte
	lent    *[]byte   // of scratch: the room that pending is in
	at      int64     // where pending begins
	owner   *pageFile // whose writes they are
}

// gatherLimit bounds what is held back; a large transaction is written in pieces of this size.
const gatherLimit = 64 << 10

func (f *pageFile) ReadAt(p []byte, off int64) (int, error) {
	if f.wal == nil {
		return f.sectors.ReadAt(p, off)
	}
	f.wal.mu.RLock()
	if len(f.wal.pending) > 0 {
		f.wal.mu.RUnlock()
		if err := f.flush(); err != nil {
			return 0, err
		}
		f.wal.mu.RLock()
	}
	defer f.wal.mu.RUnlock()
	return f.sectors.ReadAt(p, off)
}

func (f *pageFile) WriteAt(p []byte, off int64) (int, error) {
	if f.wal == nil {
		n, err := f.sectors.WriteAt(p, off)
		return n, full(err)
	}
	g := f.wal
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pending) > 0 && (g.owner != f || off != g.at+int64(len(g.pending)) || len(g.pending) >= gatherLimit) {
		if err := g.flush(); err != nil {
			return 0, err
		}
	}
	if len(g.pending) == 0 {
		g.at, g.owner = off, f
		g.lent = scratch.Get().(*[]byte)
		g.pending = (*g.lent)[:0]
	}
	g.pending = append(g.pending, p...)
	return len(p), nil
}

// flush writes what was gathered. What cannot be written is dropped: SQLite is told and takes the transaction back.
func (f *pageFile) flush() error {
	if f.wal == nil {
		return nil
	}
	f.wal.mu.Lock()
	defer f.wal.mu.Unlock()
	return f.wal.flush()
}

func (g *walGate) flush() error {
	if len(g.pending) == 0 {
		return nil
	}
	_, err := g.owner.sectors.WriteAt(g.pending, g.at)
	clear(g.pending)
	*g.lent, g.pending = g.pending, nil // hundreds of practices may be open: none keeps the room
	scratch.Put(g.lent)
	g.lent = nil
	return full(err)
}

// Sync makes the file durable.
func (f *pageFile) Sync(flags vfs.SyncFlag) error {
	if err := f.flush(); err != nil {
		return err
	}
	return full(f.File.Sync(flags))
}

// Size is how far the file can be read: a write cut short may leave a part of a sector at the end, which cannot be
// decrypted. SQLite would take a frame of the WAL in it for complete, and fail.
func (f *pageFile) Size() (int64, error) {
	if err := f.flush(); err != nil {
		return 0, err
	}
	size, err := f.File.Size()
	return size &^ (sectorSize - 1), err
}

// Truncate cuts the file after the sector that holds byte size.
func (f *pageFile) Truncate(size int64) error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.File.Truncate(roundUp(size))
}

// Close closes the file.
func (f *pageFile) Close() error {
	err := f.flush()
	if e := f.File.Close(); err == nil {
		err = e
	}
	return err
}

// full gives the errors of a disk without room the code that says so; SQLite would call them I/O errors.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
		return vfs.SystemError(err, sqlite3.FULL)
	}
	return err
}

func (f *pageFile) Unwrap() vfs.File               { return f.File }
func (f *pageFile) SharedMemory() vfs.SharedMemory { return vfsutil.WrapSharedMemory(f.File) }
func (f *pageFile) LockState() vfs.LockLevel       { return vfsutil.WrapLockState(f.File) }
func (f *pageFile) HasMoved() (bool, error)        { return vfsutil.WrapHasMoved(f.File) }
func (f *pageFile) PersistWAL() bool               { return vfsutil.WrapPersistWAL(f.File) }
func (f *pageFile) SetPersistWAL(keep bool)        { vfsutil.WrapSetPersistWAL(f.File, keep) }
func (f *pageFile) SizeHint(size int64) error      { return vfsutil.WrapSizeHint(f.File, roundUp(size)) }
func (f *pageFile) ChunkSize(size int)             { vfsutil.WrapChunkSize(f.File, int(roundUp(int64(size)))) }

// DeviceCharacteristics drops what re-writing a whole sector for a part of it does not keep, above all
// POWERSAFE_OVERWRITE: SQLite then never lets one commit share a sector with the next.
func (f *pageFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return f.File.DeviceCharacteristics() & (vfs.IOCAP_ATOMIC512 | vfs.IOCAP_IMMUTABLE | vfs.IOCAP_SEQUENTIAL |
		vfs.IOCAP_SUBPAGE_READ | vfs.IOCAP_BATCH_ATOMIC | vfs.IOCAP_UNDELETABLE_WHEN_OPEN)
}

// SectorSize is the file system's, which is a multiple of ours.
func (f *pageFile) SectorSize() int { return max(f.File.SectorSize(), sectorSize) }
