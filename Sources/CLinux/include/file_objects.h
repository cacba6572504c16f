// Files as objects, not names: handles that outlive renames, one look that gives identity and attributes together, and
// what is made in another user's name. Every function answers 0 (or a descriptor, or a count) or a negative errno.
#ifndef LARDER_FILE_OBJECTS_H
#define LARDER_FILE_OBJECTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/xattr.h>

// What statx(2) says, in the order and widths that the FUSE protocol wants.
struct larder_object {
    uint64_t inode, size, blocks;
    int64_t accessed, modified, changed, born;
    uint32_t accessed_ns, modified_ns, changed_ns, born_ns;
    uint32_t mode, links, uid, gid, device_major, device_minor;
    uint64_t mount;
    // The filesystem that holds it: with `inode` a name for the object.
    uint32_t filesystem_major, filesystem_minor;
};

// Swift sees it no more than O_PATH.
extern const int larder_o_tmpfile;
extern const int larder_o_noatime;
extern const int larder_o_direct;

enum { LARDER_HANDLE_BYTES = 24 };

// A file handle as name_to_handle_at(2) gives it. Longer ones (NFS, overlayfs) count as none.
struct larder_handle {
    uint64_t words[LARDER_HANDLE_BYTES / 8];
    uint32_t length;
    int32_t type;
};

// `name` is one component, never followed; "" is the directory descriptor's own object.
int larder_look(int directory, const char *name, struct larder_object *object);
// As larder_look, and surely of the same object its handle. -EOPNOTSUPP where the filesystem has none that fits.
int larder_look_with_handle(int directory, const char *name, struct larder_object *object, struct larder_handle *handle);
// open_by_handle_at(2). `mount` is an open (not O_PATH) file of the filesystem. Needs CAP_DAC_READ_SEARCH. -ESTALE: the object is gone.
int larder_open_handle(int mount, const struct larder_handle *handle, int flags);
// An openat(2) of one component that follows no link and crosses no mount.
int larder_open_component(int directory, const char *name, int flags, mode_t mode);
// The object of a descriptor, an O_PATH one too, opened anew.
int larder_reopen(int descriptor, int flags);

// mknod(2).
int larder_make_node(int directory, const char *name, mode_t mode, uint32_t device_major, uint32_t device_minor);
int larder_rename(int directory, const char *name, int new_directory, const char *new_name, unsigned flags);
// Gives the object of `descriptor` a further name; also one without any (O_TMPFILE).
int larder_link_object(int descriptor, int directory, const char *name);
// Changes of an object by any descriptor, O_PATH included. No symlink is followed.
int larder_chown(int descriptor, uint32_t uid, uint32_t gid);
int larder_chmod(int descriptor, mode_t mode);
// Nanoseconds may be UTIME_NOW or UTIME_OMIT.
int larder_set_times(int descriptor, int64_t accessed, long accessed_ns, int64_t modified, long modified_ns);
int larder_read_link(int descriptor, void *buffer, size_t size);

ssize_t larder_get_attribute(int descriptor, const char *name, void *value, size_t size);
ssize_t larder_list_attributes(int descriptor, void *names, size_t size);
int larder_set_attribute(int descriptor, const char *name, const void *value, size_t size, int flags);
int larder_remove_attribute(int descriptor, const char *name);

// getdents64(2) records into `buffer`; 0 at the end.
ssize_t larder_read_names(int directory, void *buffer, size_t size);
ssize_t larder_copy_range(int source, int64_t source_offset, int target, int64_t target_offset, size_t length, unsigned flags);
int64_t larder_seek(int descriptor, int64_t offset, int whence);
int larder_allocate(int descriptor, int mode, int64_t offset, int64_t length);

// Makes what this thread creates belong to the given user, until larder_act_as_self. It keeps its own rights to
// files (the caller's were checked above) and has no umask. Only for a thread with CAP_SETUID, CAP_SETGID. Does not
// touch other threads.
int larder_act_as(uint32_t uid, uint32_t gid);
void larder_act_as_self(void);
// Leaves modes alone on this thread only: its umask becomes 0, and no longer the process's.
void larder_forget_umask(void);
// Whether this thread may open files by handle and act for others.
int larder_is_privileged(void);

#endif
