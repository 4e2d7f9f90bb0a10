/* Shared by the files that open and list entries: opening beneath a folder, and times in nanoseconds. */
#ifndef PTOLEMY_FILES_H
#define PTOLEMY_FILES_H

#include <limits.h>
#include <stdint.h>
#include <sys/stat.h>

#if defined(__APPLE__)
#define MTIME st_mtimespec
#define CTIME st_ctimespec
#else
#define MTIME st_mtim
#define CTIME st_ctim
#endif

/* Stores nanoseconds since 1970 in *out, modulo 2^64; returns whether they fit (years 1677 to 2262). */
static inline int nanoseconds(struct timespec time, int64_t *out) {
    int64_t seconds = (int64_t)time.tv_sec;
    int fits = !__builtin_mul_overflow(seconds, (int64_t)1000000000, out);
    if (!__builtin_add_overflow(*out, (int64_t)time.tv_nsec, out) && fits) return 1;
    /* seconds * 10^9 may be out of range where the sum isn't: the very first second that fits */
    return seconds < 0 && !__builtin_mul_overflow(seconds + 1, (int64_t)1000000000, &seconds) &&
           !__builtin_add_overflow(seconds, (int64_t)time.tv_nsec - 1000000000, &seconds);
}

/* Open the entry at `path` (names joined by '/') beneath an open folder without following links; -errno on failure.
 * by_steps: one folder at a time, without openat2. */
int open_beneath(int root, const char *path, int flags, int by_steps);

#endif
