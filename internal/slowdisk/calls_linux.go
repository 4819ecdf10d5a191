//go:build amd64 || arm64

package slowdisk

import "golang.org/x/sys/unix"

// call is a system call on an open file: what it does, and which argument is the file's descriptor.
type call struct {
	op string
	fd int
}

// calls are those that can be held, by number.
func calls() map[uint64]call {
	return map[uint64]call{
		unix.SYS_READ: {Read, 0}, unix.SYS_PREAD64: {Read, 0}, unix.SYS_READV: {Read, 0}, unix.SYS_PREADV: {Read, 0},
		unix.SYS_PREADV2: {Read, 0}, unix.SYS_SENDFILE: {Read, 1},
		unix.SYS_WRITE: {Write, 0}, unix.SYS_PWRITE64: {Write, 0}, unix.SYS_WRITEV: {Write, 0}, unix.SYS_PWRITEV: {Write, 0},
		unix.SYS_PWRITEV2: {Write, 0}, unix.SYS_COPY_FILE_RANGE: {Write, 2}, unix.SYS_FALLOCATE: {Write, 0}, unix.SYS_FTRUNCATE: {Write, 0},
		unix.SYS_FSYNC: {Sync, 0}, unix.SYS_FDATASYNC: {Sync, 0}, unix.SYS_SYNC_FILE_RANGE: {Sync, 0}, unix.SYS_SYNCFS: {Sync, 0},
	}
}
