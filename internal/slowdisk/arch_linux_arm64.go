package slowdisk

import "golang.org/x/sys/unix"

// native is the architecture whose numbers `calls` has: a process of another kind is not held.
const native = unix.AUDIT_ARCH_AARCH64
