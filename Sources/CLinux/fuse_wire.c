#include "fuse_wire.h"

#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define SAME_SIZE(name) _Static_assert(sizeof(struct larder_##name) == sizeof(struct name), #name)
#define SAME_PLACE(name, field) \
    _Static_assert(offsetof(struct larder_##name, field) == offsetof(struct name, field), #name "." #field)

_Static_assert(sizeof(struct larder_fuse_in_header) == 40, "fuse_in_header");
_Static_assert(sizeof(struct larder_fuse_ring_header) == 288 && offsetof(struct larder_fuse_ring_header, commit_id) == 264, "fuse_uring_req_header");
_Static_assert(sizeof(struct larder_fuse_init_in) == 64, "fuse_init_in");
_Static_assert(sizeof(struct larder_fuse_init_out) == 64, "fuse_init_out");
_Static_assert(sizeof(struct larder_fuse_backing_map) == 16, "fuse_backing_map");
_Static_assert(offsetof(struct larder_fuse_init_out, max_stack_depth) == 36, "fuse_init_out.max_stack_depth");
_Static_assert(offsetof(struct larder_fuse_open_out, backing_id) == 12, "fuse_open_out.backing_id");

SAME_SIZE(fuse_in_header);
SAME_SIZE(fuse_out_header);
SAME_SIZE(fuse_init_in);
SAME_SIZE(fuse_init_out);
SAME_SIZE(fuse_attr);
SAME_SIZE(fuse_attr_out);
SAME_SIZE(fuse_entry_out);
SAME_SIZE(fuse_open_out);
SAME_SIZE(fuse_setattr_in);
SAME_SIZE(fuse_write_in);
SAME_SIZE(fuse_open_in);
SAME_SIZE(fuse_create_in);
_Static_assert(sizeof(struct larder_fuse_create_out) == 144, "fuse_entry_out and fuse_open_out without a gap");
SAME_PLACE(fuse_in_header, opcode);
SAME_PLACE(fuse_in_header, unique);
SAME_PLACE(fuse_in_header, nodeid);
SAME_PLACE(fuse_out_header, error);
SAME_PLACE(fuse_out_header, unique);
SAME_PLACE(fuse_init_in, flags);
SAME_PLACE(fuse_init_in, flags2);
SAME_PLACE(fuse_init_out, flags);
SAME_PLACE(fuse_init_out, flags2);
SAME_PLACE(fuse_attr, mtime);
SAME_PLACE(fuse_attr, mtimensec);
SAME_PLACE(fuse_attr, mode);
SAME_PLACE(fuse_attr, rdev);
SAME_PLACE(fuse_attr, blksize);
SAME_PLACE(fuse_attr_out, attr);
SAME_PLACE(fuse_entry_out, entry_valid);
SAME_PLACE(fuse_entry_out, attr_valid_nsec);
SAME_PLACE(fuse_entry_out, attr);
SAME_PLACE(fuse_open_out, open_flags);
SAME_PLACE(fuse_setattr_in, valid);
SAME_PLACE(fuse_setattr_in, size);
SAME_PLACE(fuse_setattr_in, mtime);
SAME_PLACE(fuse_setattr_in, mtimensec);
SAME_PLACE(fuse_setattr_in, mode);
SAME_PLACE(fuse_setattr_in, uid);
SAME_PLACE(fuse_setattr_in, gid);
SAME_PLACE(fuse_write_in, write_flags);
SAME_PLACE(fuse_open_in, open_flags);
SAME_PLACE(fuse_create_in, open_flags);
SAME_PLACE(fuse_dirent, off);
SAME_PLACE(fuse_dirent, type);
_Static_assert(sizeof(struct larder_fuse_dirent) == FUSE_NAME_OFFSET, "fuse_dirent.name");

_Static_assert((int)LARDER_FUSE_INIT == (int)FUSE_INIT, "opcode INIT");
_Static_assert((int)LARDER_FUSE_INTERRUPT == (int)FUSE_INTERRUPT, "opcode INTERRUPT");
_Static_assert((int)LARDER_FUSE_CREATE == (int)FUSE_CREATE, "opcode CREATE");
_Static_assert((int)LARDER_FUSE_TMPFILE == (int)FUSE_TMPFILE, "opcode TMPFILE");
_Static_assert(LARDER_FATTR_MODE == FATTR_MODE && LARDER_FATTR_UID == FATTR_UID && LARDER_FATTR_GID == FATTR_GID, "FATTR_MODE, UID, GID");
_Static_assert(LARDER_FATTR_SIZE == FATTR_SIZE && LARDER_FATTR_FH == FATTR_FH, "FATTR_SIZE, FH");
_Static_assert(LARDER_FATTR_ATIME == FATTR_ATIME && LARDER_FATTR_ATIME_NOW == FATTR_ATIME_NOW, "FATTR_ATIME");
_Static_assert(LARDER_FATTR_MTIME == FATTR_MTIME && LARDER_FATTR_MTIME_NOW == FATTR_MTIME_NOW, "FATTR_MTIME");
_Static_assert(LARDER_FATTR_KILL_SUIDGID == FATTR_KILL_SUIDGID, "FATTR_KILL_SUIDGID");
_Static_assert(LARDER_FUSE_WRITE_KILL_SUIDGID == FUSE_WRITE_KILL_SUIDGID, "FUSE_WRITE_KILL_SUIDGID");
_Static_assert(LARDER_FUSE_OPEN_KILL_SUIDGID == FUSE_OPEN_KILL_SUIDGID, "FUSE_OPEN_KILL_SUIDGID");
_Static_assert(LARDER_FUSE_HANDLE_KILLPRIV_V2 == FUSE_HANDLE_KILLPRIV_V2, "HANDLE_KILLPRIV_V2");
_Static_assert(LARDER_FUSE_PARALLEL_DIROPS == FUSE_PARALLEL_DIROPS, "PARALLEL_DIROPS");
_Static_assert(LARDER_FUSE_CACHE_SYMLINKS == FUSE_CACHE_SYMLINKS, "CACHE_SYMLINKS");
_Static_assert(LARDER_FUSE_WRITEBACK_CACHE == FUSE_WRITEBACK_CACHE, "WRITEBACK_CACHE");
_Static_assert(LARDER_FUSE_MAX_PAGES == FUSE_MAX_PAGES, "MAX_PAGES");
_Static_assert(LARDER_FUSE_INIT_EXT == FUSE_INIT_EXT, "INIT_EXT");
_Static_assert(LARDER_FOPEN_DIRECT_IO == FOPEN_DIRECT_IO, "FOPEN_DIRECT_IO");
_Static_assert(LARDER_FOPEN_KEEP_CACHE == FOPEN_KEEP_CACHE, "FOPEN_KEEP_CACHE");

#define LARDER_IOC_BACKING_OPEN _IOW(229, 1, struct larder_fuse_backing_map)
#define LARDER_IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)
_Static_assert(LARDER_IOC_BACKING_OPEN == 0x4010E501, "FUSE_DEV_IOC_BACKING_OPEN");
_Static_assert(LARDER_IOC_BACKING_CLOSE == 0x4004E502, "FUSE_DEV_IOC_BACKING_CLOSE");

int larder_fuse_backing_open(int device, int fd) {
    struct larder_fuse_backing_map map = {.fd = fd};
    return ioctl(device, LARDER_IOC_BACKING_OPEN, &map);
}

int larder_fuse_backing_close(int device, int32_t id) {
    uint32_t backing = (uint32_t)id;
    return ioctl(device, LARDER_IOC_BACKING_CLOSE, &backing);
}

static __thread const char *request;
static __thread size_t request_size;
static __thread uint32_t request_opcode;

void larder_request_begin(const void *message, size_t size, uint32_t opcode) {
    request = message;
    request_size = size;
    request_opcode = opcode;
}

const void *larder_request_body(size_t size) {
    const size_t header = sizeof(struct larder_fuse_in_header);
    return request && request_size >= header + size ? request + header : NULL;
}

uint32_t larder_request_opcode(void) {
    return request_opcode;
}

uint64_t larder_request_unique(void) {
    struct larder_fuse_in_header header;
    memcpy(&header, request, sizeof header);
    return header.unique;
}

static __thread void *request_entry;

void larder_request_set_entry(void *entry) { request_entry = entry; }
void *larder_request_entry(void) { return request_entry; }

static __thread void *reply_buffer;
static __thread size_t reply_buffer_size;

void *larder_reply_buffer(size_t size) {
    if (size > reply_buffer_size) {
        const size_t page = 4096;
        size = (size + page - 1) / page * page;
        void *larger = aligned_alloc(page, size);
        if (!larger) return NULL;
        free(reply_buffer);
        reply_buffer = larger;
        reply_buffer_size = size;
    }
    return reply_buffer;
}

void larder_reply_buffer_free(void) {
    free(reply_buffer);
    reply_buffer = NULL;
    reply_buffer_size = 0;
}
