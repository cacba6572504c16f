// flock(2): in Swift a structure of the same name hides the function.
#ifndef LARDER_FILE_USE_H
#define LARDER_FILE_USE_H

// Takes the lock without waiting. 0, or -1 with errno: EWOULDBLOCK where another open file is in the way.
int larder_flock_shared(int fd);
int larder_flock_exclusive(int fd);

#endif
