/* Reading many small files into one buffer: five system calls per file, without the interpreter in between.
 *
 * Only the common case is handled here: a regular file that didn't change while it was read. Anything else is marked
 * for the caller, which finds and reports the cause. Comparing a file with the expected one is also the caller's. */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"

/* O_NONBLOCK: a file replaced by a pipe must not block; O_NOFOLLOW: one replaced by a link must not be followed */
enum { FILE_FLAGS = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, MAX_PATH = 4096 };

#if defined(O_PATH)
enum { FOLDER_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
#else
enum { FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
#endif

enum { COLUMNS = 6 }; /* of a result: bytes read or -errno, size, mtime, ctime, inode, device */

/* The folder of the last file, kept open if the next file is in it too. */
typedef struct {
    int root, by_steps, folder;
    int64_t length; /* of its path */
    char path[MAX_PATH];
} cached_folder;

static int64_t folder_length(const char *path, int64_t length) {
    while (length > 0 && path[--length]) {} /* the names of a path are joined by NUL */
    return length;
}

static void close_folder(cached_folder *at) {
    if (at->folder >= 0) close(at->folder);
    at->folder = -1;
}

/* Open an entry of a folder by its name alone: what open_beneath does, without the system's care for longer paths. */
static int open_name(int folder, const char *name, int64_t length) {
    if (length < 1 || length > NAME_MAX || !strcmp(name, "..") || memchr(name, '/', (size_t)length)) return -EXDEV;
    for (;;) {
        int file = openat(folder, name, FILE_FLAGS);
        if (file >= 0) return file;
        if (errno != EINTR) return -errno;
    }
}

/* Open a file; shared: the next file is in the same folder. -errno on failure. */
static int open_file(cached_folder *at, const char *path, int64_t length, int shared) {
    char text[MAX_PATH];
    int64_t folder = folder_length(path, length);
    if (length >= MAX_PATH) return -ENAMETOOLONG;
    for (int64_t i = 0; i < length; i++) text[i] = path[i] ? path[i] : '/';
    text[length] = 0;
    if (!folder) return open_beneath(at->root, text, FILE_FLAGS, at->by_steps);
    if (at->folder < 0 || at->length != folder || memcmp(at->path, path, (size_t)folder)) {
        close_folder(at);
        if (!shared) return open_beneath(at->root, text, FILE_FLAGS, at->by_steps);
        text[folder] = 0;
        at->folder = open_beneath(at->root, text, FOLDER_FLAGS, at->by_steps);
        if (at->folder < 0) return at->folder;
        memcpy(at->path, path, (size_t)folder);
        at->length = folder;
    }
    return open_name(at->folder, text + folder + 1, (int)(length - folder) - 1);
}

static int read_status(int file, int64_t *result) {
    struct stat status;
    if (fstat(file, &status)) return -errno;
    if (!S_ISREG(status.st_mode)) return -EINVAL;
    if (!nanoseconds(status.MTIME, &result[2])) return -ERANGE;
    nanoseconds(status.CTIME, &result[3]); /* only compared, so modulo 2^64 is enough */
    result[1] = (int64_t)status.st_size;
    result[4] = (int64_t)status.st_ino;
    result[5] = (int64_t)status.st_dev;
    return 0;
}

/* Read the first bytes of a file, compare its status before and after, and close it. */
static void read_one(int file, uint8_t *to, int64_t length, int64_t *result) {
    int64_t before[COLUMNS] = {0}, done = 0;
    result[0] = read_status(file, before);
    while (!result[0] && done < length) {
        ssize_t got = pread(file, to + done, (size_t)(length - done), (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) result[0] = -errno;
        if (got <= 0) break;
        done += got;
    }
    if (!result[0]) result[0] = read_status(file, result);
    if (!result[0]) result[0] = memcmp(before + 1, result + 1, (COLUMNS - 1) * sizeof *before) ? -EAGAIN : done;
    close(file);
}

/* Read the first lengths[i] bytes of file i to buffer + offsets[i]. Its path, names joined by NUL beneath the open
 * folder `root`, is the bytes of `paths` from ends[i - 1] to ends[i].
 * `results` has six numbers per file: bytes read, or -errno (EAGAIN: it changed while it was read); then size,
 * mtime, ctime (nanoseconds), inode and device after the read. */
EXPORT void ptolemy_read_files(int root, const char *paths, const int64_t *ends, uint8_t *buffer,
                               const int64_t *offsets, const int64_t *lengths, int64_t count, int64_t *results,
                               int by_steps) {
    cached_folder at = {.root = root, .by_steps = by_steps, .folder = -1};
    for (int64_t i = 0; i < count; i++, results += COLUMNS) {
        int64_t start = i ? ends[i - 1] : 0, length = ends[i] - start, shared = 0;
        const char *path = paths + start, *next = paths + ends[i];
        if (i + 1 < count) {
            int64_t folder = folder_length(path, length);
            shared = folder_length(next, ends[i + 1] - ends[i]) == folder && !memcmp(path, next, (size_t)folder);
        }
        int file = open_file(&at, path, length, (int)shared);
        if (file < 0)
            results[0] = file;
        else
            read_one(file, buffer + offsets[i], lengths[i], results);
    }
    close_folder(&at);
}
