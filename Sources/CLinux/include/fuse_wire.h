// The kernel's FUSE device protocol (linux/fuse.h, ABI 7.40 and later), as far as libfuse 3.14 does not show it.
//
// The names are our own because the kernel header that is installed may be older than the kernel that runs: 7.38 has
// padding where 7.40 has `backing_id` and `max_stack_depth`. fuse_wire.c proves sizes and offsets at compile time.
#ifndef LARDER_FUSE_WIRE_H
#define LARDER_FUSE_WIRE_H

#include <stddef.h>
#include <stdint.h>

// Every request starts with this.
struct larder_fuse_in_header {
    uint32_t len;
    uint32_t opcode;
    uint64_t unique;
    uint64_t nodeid;
    uint32_t uid;
    uint32_t gid;
    uint32_t pid;
    uint16_t total_extlen;
    uint16_t padding;
};

// Every reply starts with this.
struct larder_fuse_out_header {
    uint32_t len;
    int32_t error;
    uint64_t unique;
};

// A request that comes through io_uring, struct fuse_uring_req_header (ABI 7.42): `in_out` holds the header of the request and
// then that of the answer, `op_in` what comes next in a request read from the device. Names and data are elsewhere, the payload.
struct larder_fuse_ring_header {
    char in_out[128];
    char op_in[128];
    uint64_t flags;
    uint64_t commit_id;
    uint32_t payload_size;
    uint32_t padding;
    uint64_t reserved;
};

struct larder_fuse_init_in {
    uint32_t major;
    uint32_t minor;
    uint32_t max_readahead;
    uint32_t flags;
    uint32_t flags2;
    uint32_t unused[11];
};

struct larder_fuse_init_out {
    uint32_t major;
    uint32_t minor;
    uint32_t max_readahead;
    uint32_t flags;
    uint16_t max_background;
    uint16_t congestion_threshold;
    uint32_t max_write;
    uint32_t time_gran;
    uint16_t max_pages;
    uint16_t map_alignment;
    uint32_t flags2;
    uint32_t max_stack_depth;
    uint16_t request_timeout;
    uint16_t unused[11];
};

struct larder_fuse_attr {
    uint64_t ino;
    uint64_t size;
    uint64_t blocks;
    uint64_t atime;
    uint64_t mtime;
    uint64_t ctime;
    uint32_t atimensec;
    uint32_t mtimensec;
    uint32_t ctimensec;
    uint32_t mode;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint32_t rdev;
    uint32_t blksize;
    uint32_t flags;
};

struct larder_fuse_attr_out {
    uint64_t attr_valid;
    uint32_t attr_valid_nsec;
    uint32_t dummy;
    struct larder_fuse_attr attr;
};

struct larder_fuse_entry_out {
    uint64_t nodeid;
    uint64_t generation;
    uint64_t entry_valid;
    uint64_t attr_valid;
    uint32_t entry_valid_nsec;
    uint32_t attr_valid_nsec;
    struct larder_fuse_attr attr;
};

struct larder_fuse_setattr_in {
    uint32_t valid;
    uint32_t padding;
    uint64_t fh;
    uint64_t size;
    uint64_t lock_owner;
    uint64_t atime;
    uint64_t mtime;
    uint64_t ctime;
    uint32_t atimensec;
    uint32_t mtimensec;
    uint32_t ctimensec;
    uint32_t mode;
    uint32_t unused4;
    uint32_t uid;
    uint32_t gid;
    uint32_t unused5;
};

struct larder_fuse_write_in {
    uint64_t fh;
    uint64_t offset;
    uint32_t size;
    uint32_t write_flags;
    uint64_t lock_owner;
    uint32_t flags;
    uint32_t padding;
};

struct larder_fuse_open_in {
    uint32_t flags;
    uint32_t open_flags;
};

// The body of CREATE and TMPFILE; the name follows.
struct larder_fuse_create_in {
    uint32_t flags;
    uint32_t mode;
    uint32_t umask;
    uint32_t open_flags;
};

struct larder_fuse_open_out {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};

// The answer to CREATE and TMPFILE.
struct larder_fuse_create_out {
    struct larder_fuse_entry_out entry;
    struct larder_fuse_open_out open;
};

// The name follows, then zeros up to a multiple of 8 bytes.
struct larder_fuse_dirent {
    uint64_t ino;
    uint64_t off;
    uint32_t namelen;
    uint32_t type;
};

struct larder_fuse_backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};

enum {
    LARDER_FUSE_INIT = 26,
    LARDER_FUSE_CREATE = 35,
    LARDER_FUSE_INTERRUPT = 36,
    LARDER_FUSE_TMPFILE = 51,
};

// A notification is a reply with unique 0 and one of these as its error.
enum { LARDER_FUSE_NOTIFY_INVAL_INODE = 2, LARDER_FUSE_NOTIFY_INC_EPOCH = 8 };
// The ABI (7.MINOR) that has FUSE_NOTIFY_INC_EPOCH.
enum { LARDER_FUSE_EPOCH_MINOR = 44 };

struct larder_fuse_notify_inval_inode {
    struct larder_fuse_out_header header;
    uint64_t node;
    // Bytes of content, of a directory what the kernel keeps of its listing; 0 is "to the end".
    int64_t offset;
    int64_t length;
};

// What a SETATTR is to change.
enum {
    LARDER_FATTR_MODE = 1 << 0,
    LARDER_FATTR_UID = 1 << 1,
    LARDER_FATTR_GID = 1 << 2,
    LARDER_FATTR_SIZE = 1 << 3,
    LARDER_FATTR_ATIME = 1 << 4,
    LARDER_FATTR_MTIME = 1 << 5,
    LARDER_FATTR_FH = 1 << 6,
    LARDER_FATTR_ATIME_NOW = 1 << 7,
    LARDER_FATTR_MTIME_NOW = 1 << 8,
    LARDER_FATTR_KILL_SUIDGID = 1 << 11,
};

enum { LARDER_FUSE_WRITE_KILL_SUIDGID = 1 << 2 };
enum { LARDER_FUSE_OPEN_KILL_SUIDGID = 1 << 0 };

// INIT flags, bits 0..31.
enum {
    LARDER_FUSE_ASYNC_READ = 1 << 0,
    LARDER_FUSE_WRITEBACK_CACHE = 1 << 16,
    LARDER_FUSE_PARALLEL_DIROPS = 1 << 18,
    LARDER_FUSE_MAX_PAGES = 1 << 22,
    LARDER_FUSE_CACHE_SYMLINKS = 1 << 23,
    LARDER_FUSE_HANDLE_KILLPRIV_V2 = 1 << 28,
    LARDER_FUSE_INIT_EXT = 1 << 30,
};

// INIT flags2: bits 32..63, here counted from 0. Read by the kernel only where LARDER_FUSE_INIT_EXT is set.
enum {
    LARDER_FUSE2_DIRECT_IO_ALLOW_MMAP = 1 << 4,
    LARDER_FUSE2_PASSTHROUGH = 1 << 5,
    LARDER_FUSE2_NO_EXPORT_SUPPORT = 1 << 6,
    LARDER_FUSE2_OVER_IO_URING = 1 << 9,
};

// Flags of an OPEN or OPENDIR reply. With PASSTHROUGH, KEEP_CACHE makes the open fail with EIO.
enum {
    LARDER_FOPEN_DIRECT_IO = 1 << 0,
    LARDER_FOPEN_KEEP_CACHE = 1 << 1,
    LARDER_FOPEN_PASSTHROUGH = 1 << 7,
};

// Gives `fd` to the kernel as the backing file of a passthrough open. The id (> 0), or -1 with errno. The kernel keeps
// the file: `fd` may be closed afterwards.
int larder_fuse_backing_open(int device, int fd);
int larder_fuse_backing_close(int device, int32_t id);

// The request that this thread is answering, whole, and its opcode as the kernel gave it: for what libfuse 3.14 does not
// pass on. Valid until the thread reads the next one; `opcode` outlives changes to the message.
void larder_request_begin(const void *message, size_t size, uint32_t opcode);
// `size` bytes behind the header, or NULL where the request is shorter.
const void *larder_request_body(size_t size);
uint32_t larder_request_opcode(void);
uint64_t larder_request_unique(void);

// The ring entry of the request that this thread is answering, if it came through a ring and has no answer yet.
void larder_request_set_entry(void *entry);
void *larder_request_entry(void);

// This thread's reply buffer, page aligned and at least `size` bytes long. NULL where memory is out.
void *larder_reply_buffer(size_t size);
// To be called before a thread that used larder_reply_buffer ends.
void larder_reply_buffer_free(void);

#endif
