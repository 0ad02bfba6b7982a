package db

import (
	"crypto/rand"
	"strconv"
	"sync"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/util/vfsutil"
	"github.com/ncruces/go-sqlite3/vfs"
)

// pageVFS encrypts every file SQLite opens: database, WAL, journals, temporary files. The key of a database is looked
// up by the number in its URI (`store=17`), so that no key is ever in a file name, an error or a log.
type pageVFS struct {
	vfs.VFS

	mu      sync.RWMutex
	ciphers map[PracticeID]*pageCipher
}

func newPageVFS() *pageVFS {
	return &pageVFS{VFS: vfs.Find(""), ciphers: make(map[PracticeID]*pageCipher)}
}

func (v *pageVFS) setKey(id PracticeID, key []byte) error {
	c, err := newPageCipher(key)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ciphers[id] = c
	return nil
}

func (v *pageVFS) forget(id PracticeID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.ciphers, id)
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
	c, err := v.cipherFor(name)
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
	return &pageFile{File: file, sectors: sectors{file: file, cipher: c}}, flags, nil
}

func (v *pageVFS) cipherFor(name *vfs.Filename) (*pageCipher, error) {
	if name == nil {
		key := make([]byte, 64)
		rand.Read(key)
		return newPageCipher(key)
	}
	id, err := strconv.ParseInt(name.URIParameter("store"), 10, 64)
	if err != nil {
		return nil, sqlite3.IOERR_BADKEY
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	c := v.ciphers[PracticeID(id)]
	if c == nil {
		return nil, sqlite3.IOERR_BADKEY
	}
	return c, nil
}

// pageFile is one open file. Optional abilities of the file beneath that matter here are passed on.
type pageFile struct {
	vfs.File
	sectors sectors
}

func (f *pageFile) ReadAt(p []byte, off int64) (int, error)  { return f.sectors.ReadAt(p, off) }
func (f *pageFile) WriteAt(p []byte, off int64) (int, error) { return f.sectors.WriteAt(p, off) }
func (f *pageFile) Truncate(size int64) error                { return f.File.Truncate(roundUp(size)) }
func (f *pageFile) Unwrap() vfs.File                         { return f.File }
func (f *pageFile) SharedMemory() vfs.SharedMemory           { return vfsutil.WrapSharedMemory(f.File) }
func (f *pageFile) LockState() vfs.LockLevel                 { return vfsutil.WrapLockState(f.File) }
func (f *pageFile) HasMoved() (bool, error)                  { return vfsutil.WrapHasMoved(f.File) }
func (f *pageFile) PersistWAL() bool                         { return vfsutil.WrapPersistWAL(f.File) }
func (f *pageFile) SetPersistWAL(keep bool)                  { vfsutil.WrapSetPersistWAL(f.File, keep) }
func (f *pageFile) SizeHint(size int64) error                { return vfsutil.WrapSizeHint(f.File, roundUp(size)) }
func (f *pageFile) ChunkSize(size int)                       { vfsutil.WrapChunkSize(f.File, int(roundUp(int64(size)))) }

// DeviceCharacteristics drops what re-writing a whole sector for a part of it does not keep, above all
// POWERSAFE_OVERWRITE: SQLite then never lets one commit share a sector with the next.
func (f *pageFile) DeviceCharacteristics() vfs.DeviceCharacteristic {
	return f.File.DeviceCharacteristics() & (vfs.IOCAP_ATOMIC512 | vfs.IOCAP_IMMUTABLE | vfs.IOCAP_SEQUENTIAL |
		vfs.IOCAP_SUBPAGE_READ | vfs.IOCAP_BATCH_ATOMIC | vfs.IOCAP_UNDELETABLE_WHEN_OPEN)
}

// SectorSize is the file system's, which is a multiple of ours.
func (f *pageFile) SectorSize() int { return max(f.File.SectorSize(), sectorSize) }
