#define _GNU_SOURCE
#include "file_objects.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

_Static_assert(sizeof(struct larder_handle) == 32, "an identity is four words");

const int larder_o_tmpfile = O_TMPFILE;
const int larder_o_noatime = O_NOATIME;
const int larder_o_direct = O_DIRECT;

static int outcome(long result) { return result < 0 ? -errno : (int)result; }

int larder_look(int directory, const char *name, struct larder_object *object) {
    struct statx status;
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
    if (statx(directory, name, flags, STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &status) < 0) return -errno;
    *object = (struct larder_object){
        .inode = status.stx_ino,
        .size = status.stx_size,
        .blocks = status.stx_blocks,
        .accessed = status.stx_atime.tv_sec,
        .modified = status.stx_mtime.tv_sec,
        .changed = status.stx_ctime.tv_sec,
        .born = status.stx_mask & STATX_BTIME ? status.stx_btime.tv_sec : 0,
        .accessed_ns = status.stx_atime.tv_nsec,
        .modified_ns = status.stx_mtime.tv_nsec,
        .changed_ns = status.stx_ctime.tv_nsec,
        .born_ns = status.stx_mask & STATX_BTIME ? status.stx_btime.tv_nsec : 0,
        .mode = status.stx_mode,
        .links = status.stx_nlink,
        .uid = status.stx_uid,
        .gid = status.stx_gid,
        .device_major = status.stx_rdev_major,
        .device_minor = status.stx_rdev_minor,
        .mount = status.stx_mnt_id,
        .filesystem_major = status.stx_dev_major,
        .filesystem_minor = status.stx_dev_minor,
    };
    return 0;
}

static int handle_of(int directory, const char *name, struct larder_handle *handle) {
    union {
        struct file_handle header;
        char space[sizeof(struct file_handle) + LARDER_HANDLE_BYTES];
    } raw;
    raw.header.handle_bytes = LARDER_HANDLE_BYTES;
    int mount;
    if (name_to_handle_at(directory, name, &raw.header, &mount, *name ? 0 : AT_EMPTY_PATH) < 0)
        return errno == EOVERFLOW ? -EOPNOTSUPP : -errno;
    memset(handle, 0, sizeof *handle);
    memcpy(handle->words, raw.header.f_handle, raw.header.handle_bytes);
    handle->length = raw.header.handle_bytes;
    handle->type = raw.header.handle_type;
    return 0;
}

// FILEID_INO32_GEN (ext4, small xfs): two words, the first of which is the inode's number.
static int shows_inode(const struct larder_handle *handle, uint64_t inode) {
    return handle->type == 1 && handle->length == 8 && (uint32_t)handle->words[0] == inode;
}

int larder_look_with_handle(int directory, const char *name, struct larder_object *object, struct larder_handle *handle) {
    int code = larder_look(directory, name, object);
    if (code < 0) return code;
    code = handle_of(directory, name, handle);
    if (code < 0) return code;
    if (!*name || shows_inode(handle, object->inode)) return 0;
    // Somebody may have renamed between the two calls. One descriptor cannot become another object.
    int descriptor = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) return -errno;
    code = larder_look(descriptor, "", object);
    if (code == 0) code = handle_of(descriptor, "", handle);
    close(descriptor);
    return code;
}

int larder_open_handle(int mount, const struct larder_handle *handle, int flags) {
    union {
        struct file_handle header;
        char space[sizeof(struct file_handle) + LARDER_HANDLE_BYTES];
    } raw;
    raw.header.handle_bytes = handle->length;
    raw.header.handle_type = handle->type;
    memcpy(raw.header.f_handle, handle->words, handle->length);
    int code = outcome(open_by_handle_at(mount, &raw.header, flags | O_CLOEXEC));
    // While the number of an inode that is gone is being given to a new one, Linux finds neither (iget_locked) and says
    // ENOMEM. Nothing else here needs memory that could be missing for long.
    return code == -ENOMEM ? -ESTALE : code;
}

int larder_open_component(int directory, const char *name, int flags, mode_t mode) {
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
        .mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? mode & 07777 : 0,
        .resolve = RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
    };
    long result;
    do {
        result = syscall(SYS_openat2, directory, name, &how, sizeof how);
    } while (result == -1 && errno == EINTR);
    return outcome(result);
}

// Long enough for any int.
struct descriptor_path {
    char text[32];
};

static struct descriptor_path path_of(int descriptor) {
    struct descriptor_path path;
    snprintf(path.text, sizeof path.text, "/proc/self/fd/%d", descriptor);
    return path;
}

int larder_reopen(int descriptor, int flags) { return outcome(open(path_of(descriptor).text, flags | O_CLOEXEC)); }

int larder_make_node(int directory, const char *name, mode_t mode, uint32_t device_major, uint32_t device_minor) {
    return outcome(mknodat(directory, name, mode, makedev(device_major, device_minor)));
}

int larder_rename(int directory, const char *name, int new_directory, const char *new_name, unsigned flags) {
    return outcome(syscall(SYS_renameat2, directory, name, new_directory, new_name, flags));
}

int larder_link_object(int descriptor, int directory, const char *name) {
    if (linkat(descriptor, "", directory, name, AT_EMPTY_PATH) == 0) return 0;
    // ENOENT is also what somebody without CAP_DAC_READ_SEARCH is told.
    if (errno != ENOENT) return -errno;
    return outcome(linkat(AT_FDCWD, path_of(descriptor).text, directory, name, AT_SYMLINK_FOLLOW));
}

int larder_chown(int descriptor, uint32_t uid, uint32_t gid) {
    return outcome(fchownat(descriptor, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

int larder_chmod(int descriptor, mode_t mode) {
    if (syscall(SYS_fchmodat2, descriptor, "", mode, AT_EMPTY_PATH) == 0) return 0;
    // Before Linux 6.6.
    if (errno == ENOSYS) return outcome(chmod(path_of(descriptor).text, mode));
    return -errno;
}

int larder_set_times(int descriptor, int64_t accessed, long accessed_ns, int64_t modified, long modified_ns) {
    struct timespec times[2] = {{accessed, accessed_ns}, {modified, modified_ns}};
    return outcome(utimensat(descriptor, "", times, AT_EMPTY_PATH));
}

int larder_read_link(int descriptor, void *buffer, size_t size) { return outcome(readlinkat(descriptor, "", buffer, size)); }

static ssize_t count(ssize_t result) { return result < 0 ? -errno : result; }

// Extended attributes cannot be had from an O_PATH descriptor, but from its object's path in /proc.

ssize_t larder_get_attribute(int descriptor, const char *name, void *value, size_t size) {
    const ssize_t result = fgetxattr(descriptor, name, value, size);
    return count(result < 0 && errno == EBADF ? getxattr(path_of(descriptor).text, name, value, size) : result);
}

ssize_t larder_list_attributes(int descriptor, void *names, size_t size) {
    const ssize_t result = flistxattr(descriptor, names, size);
    return count(result < 0 && errno == EBADF ? listxattr(path_of(descriptor).text, names, size) : result);
}

int larder_set_attribute(int descriptor, const char *name, const void *value, size_t size, int flags) {
    const int result = fsetxattr(descriptor, name, value, size, flags);
    return outcome(result < 0 && errno == EBADF ? setxattr(path_of(descriptor).text, name, value, size, flags) : result);
}

int larder_remove_attribute(int descriptor, const char *name) {
    const int result = fremovexattr(descriptor, name);
    return outcome(result < 0 && errno == EBADF ? removexattr(path_of(descriptor).text, name) : result);
}

ssize_t larder_read_names(int directory, void *buffer, size_t size) {
    return count(syscall(SYS_getdents64, directory, buffer, size));
}

ssize_t larder_copy_range(int source, int64_t source_offset, int target, int64_t target_offset, size_t length, unsigned flags) {
    return count(copy_file_range(source, &source_offset, target, &target_offset, length, flags));
}

int64_t larder_seek(int descriptor, int64_t offset, int whence) {
    off_t result = lseek(descriptor, offset, whence);
    return result < 0 ? -errno : result;
}

int larder_allocate(int descriptor, int mode, int64_t offset, int64_t length) {
    return outcome(fallocate(descriptor, mode, offset, length));
}

// Rights to files that follow fsuid: a change of it from 0 takes them from the effective set, and they come back with it.
static const uint64_t file_rights = 1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_DAC_READ_SEARCH |
                                    1ull << CAP_FOWNER | 1ull << CAP_FSETID | 1ull << CAP_MKNOD;

static int read_rights(struct __user_cap_data_struct rights[2]) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return outcome(syscall(SYS_capget, &header, rights));
}

// What this thread may as itself.
static _Thread_local struct __user_cap_data_struct own_rights[2];
static _Thread_local int knows_own_rights;

int larder_act_as(uint32_t uid, uint32_t gid) {
    int code = 0;
    larder_forget_umask();
    if (!knows_own_rights && (code = read_rights(own_rights)) < 0) return code;
    knows_own_rights = 1;
    // glibc's wrappers are for this thread alone. They tell the old id, right or wrong; -1 is never valid and so only asks.
    setfsgid(gid);
    setfsuid(uid);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct rights[2] = {own_rights[0], own_rights[1]};
    rights[0].effective |= (uint32_t)file_rights & rights[0].permitted;
    if ((uint32_t)setfsgid(-1) != gid || (uint32_t)setfsuid(-1) != uid) code = -EPERM;
    else code = outcome(syscall(SYS_capset, &header, rights));
    if (code < 0) larder_act_as_self();
    return code;
}

void larder_act_as_self(void) {
    setfsuid(geteuid());
    setfsgid(getegid());
}

static _Thread_local int has_own_umask;

void larder_forget_umask(void) {
    if (has_own_umask) return;
    // Without an fs_struct of its own the thread would change the umask of all. A refusal (seccomp) leaves modes narrower.
    if (unshare(CLONE_FS) == 0) umask(0);
    has_own_umask = 1;
}

int larder_is_privileged(void) {
    struct __user_cap_data_struct rights[2];
    uint64_t needed = 1ull << CAP_DAC_READ_SEARCH | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_SETUID | 1ull << CAP_SETGID;
    if (read_rights(rights) < 0) return 0;
    return (rights[0].effective & needed) == needed;
}
