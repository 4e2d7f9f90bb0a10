/* Reading many small files into one buffer: three system calls a file, and no interpreter between them.
 *
 * Only the usual case is served here: a regular file, all of its wanted bytes there, size and mtime as expected
 * after the read. Whatever else is met is marked and left to the caller, who finds out why and says so. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel.h"

#if defined(__APPLE__)
#define MTIME st_mtimespec
#else
#define MTIME st_mtim
#endif

static int read_one(const char *path, uint8_t *to, int64_t length, int64_t size, int64_t mtime) {
    /* O_NONBLOCK: what has become a pipe must not hold us; O_NOFOLLOW: nor what became a link */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) return 0;
    int64_t done = 0;
    while (done < length) {
        ssize_t got = pread(file, to + done, (size_t)(length - done), (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        done += got;
    }
    struct stat now; /* taken after the read, so that a change during it shows too */
    int same = fstat(file, &now) == 0 && S_ISREG(now.st_mode) && now.st_size == size &&
               (int64_t)now.MTIME.tv_sec * 1000000000 + now.MTIME.tv_nsec == mtime;
    close(file);
    return same && done == length;
}

/* Read the first lengths[i] bytes of file i to buffer + places[i]. Its path starts at paths + starts[i] and ends
 * with a NUL; sizes and mtimes (nanoseconds) are what it must have. Sets fine[i]; returns how many are fine. */
EXPORT int64_t ptolemy_read_files(const char *paths, const int64_t *starts, uint8_t *buffer, const int64_t *places,
                                  const int64_t *lengths, const int64_t *sizes, const int64_t *mtimes,
                                  int64_t count, uint8_t *fine) {
    int64_t good = 0;
    for (int64_t i = 0; i < count; i++) {
        fine[i] = (uint8_t)read_one(paths + starts[i], buffer + places[i], lengths[i], sizes[i], mtimes[i]);
        good += fine[i];
    }
    return good;
}
