// System calls that Swift's Glibc module does not show, or shows without a type that fits. As the calls themselves:
// -1 and errno.
#ifndef POSIX_MACHINE_H
#define POSIX_MACHINE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pm_status {
    uint64_t inode, size, blocks, links, device_major, device_minor, device;
    int64_t accessed, modified, changed;
    uint32_t accessed_ns, modified_ns, changed_ns;
    uint32_t mode, uid, gid, block_size;
    // What tells this object from an earlier one with the same inode number: of its file handle, 0 where there is none.
    uint64_t identity;
};

// stat, lstat and fstat in one: `flags` are AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH.
int pm_stat(int directory, const char *path, int flags, struct pm_status *status);
// The same fields from statx(2).
int pm_statx(int directory, const char *path, int flags, struct pm_status *status);

struct pm_disk { uint64_t block_size, fragment_size, name_length, blocks, files; };
int pm_statfs(int fd, struct pm_disk *disk);

enum pm_lock_family { PM_LOCK_PROCESS, PM_LOCK_DESCRIPTION };
// kind: F_RDLCK, F_WRLCK, F_UNLCK.
int pm_lock(int fd, enum pm_lock_family family, int kind, int64_t start, int64_t length);
// Who stands in the way: its kind, range and process.
struct pm_holder { int kind; int64_t start, length; int process; };
int pm_lock_holder(int fd, enum pm_lock_family family, int kind, int64_t start, int64_t length, struct pm_holder *holder);

// The name of an errno such as ENOENT, NULL where it has none.
const char *pm_error_name(int code);
// Lines of stdout leave as they end, also into a file.
void pm_print_lines(void);
void pm_complain(const char *text);

int pm_flock(int fd, int operation);
int pm_renameat2(int from, const char *old, int to, const char *new_name, unsigned flags);
ssize_t pm_getxattr(int fd, const char *path, int follow, const char *name, void *value, size_t size);
ssize_t pm_listxattr(int fd, const char *path, int follow, char *names, size_t size);
int pm_setxattr(int fd, const char *path, int follow, const char *name, const void *value, size_t size, int flags);
int pm_removexattr(int fd, const char *path, int follow, const char *name);
int pm_faccessat(int directory, const char *path, int mode, int flags);
int pm_mknodat(int directory, const char *path, mode_t mode, unsigned major, unsigned minor);
int pm_open(int directory, const char *path, int flags, mode_t mode);
// As AT_EMPTY_PATH, which takes _GNU_SOURCE.
enum { PM_EMPTY_PATH = 0x1000 };
int pm_fallocate(int fd, int mode, int64_t offset, int64_t length);
// An offset of -1 means the open file's own.
ssize_t pm_splice(int from, int64_t offset, int pipe, size_t length);
ssize_t pm_copy_range(int from, int64_t offset, int to, int64_t to_offset, size_t length);
int pm_pipe(int ends[2], int flags);
int pm_set_flags(int fd, int flags);

// For the worker of `path`: a mount namespace where it is bound with the same nosuid, nodev and noexec as `other`'s mount.
int pm_mount_alike(const char *path, const char *other);
// Effective ids and groups of the calling process: an ordinary user with `more` as second group, or root.
int pm_become(uint32_t uid, uint32_t gid, uint32_t more);

#endif
