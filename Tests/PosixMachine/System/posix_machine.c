#define _GNU_SOURCE
#include "posix_machine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

// ext4's handle is inode number and generation, so it differs between two lives of one number.
static uint64_t identity(int directory, const char *path, int flags)
{
    struct { struct file_handle handle; unsigned char bytes[128]; } space;
    int mount;
    space.handle.handle_bytes = sizeof space.bytes;
    int how = (flags & AT_EMPTY_PATH) | (flags & AT_SYMLINK_NOFOLLOW ? 0 : AT_SYMLINK_FOLLOW);
    int saved = errno;
    if (name_to_handle_at(directory, path, &space.handle, &mount, how) != 0) {
        errno = saved;
        return 0;
    }
    uint64_t hash = 0xcbf29ce484222325;
    for (unsigned i = 0; i < space.handle.handle_bytes; i++) hash = (hash ^ space.handle.f_handle[i]) * 0x100000001b3;
    return hash;
}

int pm_stat(int directory, const char *path, int flags, struct pm_status *status)
{
    struct stat s;
    memset(status, 0, sizeof *status);
    if (fstatat(directory, path, &s, flags) != 0) return -1;
    *status = (struct pm_status){
        .inode = s.st_ino, .size = s.st_size, .blocks = s.st_blocks, .links = s.st_nlink, .device_major = major(s.st_rdev),
        .device_minor = minor(s.st_rdev), .device = s.st_dev, .accessed = s.st_atim.tv_sec, .modified = s.st_mtim.tv_sec,
        .changed = s.st_ctim.tv_sec, .accessed_ns = s.st_atim.tv_nsec, .modified_ns = s.st_mtim.tv_nsec,
        .changed_ns = s.st_ctim.tv_nsec, .mode = s.st_mode, .uid = s.st_uid, .gid = s.st_gid, .block_size = s.st_blksize,
        .identity = identity(directory, path, flags),
    };
    return 0;
}

int pm_statx(int directory, const char *path, int flags, struct pm_status *status)
{
    struct statx s;
    memset(status, 0, sizeof *status);
    if (statx(directory, path, flags, STATX_BASIC_STATS, &s) != 0) return -1;
    *status = (struct pm_status){
        .inode = s.stx_ino, .size = s.stx_size, .blocks = s.stx_blocks, .links = s.stx_nlink, .device_major = s.stx_rdev_major,
        .device_minor = s.stx_rdev_minor, .device = makedev(s.stx_dev_major, s.stx_dev_minor), .accessed = s.stx_atime.tv_sec,
        .modified = s.stx_mtime.tv_sec, .changed = s.stx_ctime.tv_sec, .accessed_ns = s.stx_atime.tv_nsec,
        .modified_ns = s.stx_mtime.tv_nsec, .changed_ns = s.stx_ctime.tv_nsec, .mode = s.stx_mode, .uid = s.stx_uid,
        .gid = s.stx_gid, .block_size = s.stx_blksize, .identity = identity(directory, path, flags),
    };
    return 0;
}

int pm_statfs(int fd, struct pm_disk *disk)
{
    struct statfs s;
    if (fstatfs(fd, &s) != 0) return -1;
    *disk = (struct pm_disk){ s.f_bsize, s.f_frsize, s.f_namelen, s.f_blocks, s.f_files };
    return 0;
}

int pm_lock(int fd, enum pm_lock_family family, int kind, int64_t start, int64_t length)
{
    struct flock lock = { .l_type = kind, .l_whence = SEEK_SET, .l_start = start, .l_len = length };
    return fcntl(fd, family == PM_LOCK_PROCESS ? F_SETLK : F_OFD_SETLK, &lock);
}

int pm_lock_holder(int fd, enum pm_lock_family family, int kind, int64_t start, int64_t length, struct pm_holder *holder)
{
    struct flock lock = { .l_type = kind, .l_whence = SEEK_SET, .l_start = start, .l_len = length };
    if (fcntl(fd, family == PM_LOCK_PROCESS ? F_GETLK : F_OFD_GETLK, &lock) != 0) return -1;
    *holder = (struct pm_holder){ lock.l_type, lock.l_start, lock.l_len, lock.l_pid };
    return 0;
}

const char *pm_error_name(int code) { return strerrorname_np(code); }
void pm_print_lines(void) { setvbuf(stdout, NULL, _IOLBF, 0); }
void pm_complain(const char *text) { fprintf(stderr, "posix-machine: %s\n", text); }

int pm_flock(int fd, int operation) { return flock(fd, operation); }

int pm_renameat2(int from, const char *old, int to, const char *new_name, unsigned flags)
{
    return renameat2(from, old, to, new_name, flags);
}

ssize_t pm_getxattr(int fd, const char *path, int follow, const char *name, void *value, size_t size)
{
    if (path == NULL) return fgetxattr(fd, name, value, size);
    return follow ? getxattr(path, name, value, size) : lgetxattr(path, name, value, size);
}

ssize_t pm_listxattr(int fd, const char *path, int follow, char *names, size_t size)
{
    if (path == NULL) return flistxattr(fd, names, size);
    return follow ? listxattr(path, names, size) : llistxattr(path, names, size);
}

int pm_setxattr(int fd, const char *path, int follow, const char *name, const void *value, size_t size, int flags)
{
    if (path == NULL) return fsetxattr(fd, name, value, size, flags);
    return follow ? setxattr(path, name, value, size, flags) : lsetxattr(path, name, value, size, flags);
}

int pm_removexattr(int fd, const char *path, int follow, const char *name)
{
    if (path == NULL) return fremovexattr(fd, name);
    return follow ? removexattr(path, name) : lremovexattr(path, name);
}

int pm_faccessat(int directory, const char *path, int mode, int flags) { return faccessat(directory, path, mode, flags); }

int pm_mknodat(int directory, const char *path, mode_t mode, unsigned ma, unsigned mi)
{
    return mknodat(directory, path, mode, makedev(ma, mi));
}

int pm_open(int directory, const char *path, int flags, mode_t mode) { return openat(directory, path, flags, mode); }

int pm_fallocate(int fd, int mode, int64_t offset, int64_t length) { return fallocate(fd, mode, offset, length); }

ssize_t pm_splice(int from, int64_t offset, int pipe, size_t length)
{
    off_t place = offset;
    return splice(from, offset < 0 ? NULL : &place, pipe, NULL, length, SPLICE_F_NONBLOCK);
}

ssize_t pm_copy_range(int from, int64_t offset, int to, int64_t to_offset, size_t length)
{
    off_t place = offset, to_place = to_offset;
    return copy_file_range(from, offset < 0 ? NULL : &place, to, to_offset < 0 ? NULL : &to_place, length, 0);
}

_Static_assert(PM_EMPTY_PATH == AT_EMPTY_PATH, "posix_machine.h");
int pm_pipe(int ends[2], int flags) { return pipe2(ends, flags); }
int pm_set_flags(int fd, int flags) { return fcntl(fd, F_SETFL, flags); }

int pm_mount_alike(const char *path, const char *other)
{
    struct statvfs s;
    if (statvfs(other, &s) != 0) return -1;
    unsigned long flags = 0;
    if (s.f_flag & ST_NOSUID) flags |= MS_NOSUID;
    if (s.f_flag & ST_NODEV) flags |= MS_NODEV;
    if (s.f_flag & ST_NOEXEC) flags |= MS_NOEXEC;
    if (flags == 0) return 0;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return -1;
    if (mount(path, path, NULL, MS_BIND, NULL) != 0) return -1;
    return mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | flags, NULL);
}

int pm_become(uint32_t uid, uint32_t gid, uint32_t more)
{
    gid_t groups[2] = { gid, more };
    if (seteuid(0) != 0) return -1;
    if (setgroups(uid == 0 ? 0 : 2, groups) != 0 || setegid(gid) != 0) return -1;
    return uid == 0 ? 0 : seteuid(uid);
}
