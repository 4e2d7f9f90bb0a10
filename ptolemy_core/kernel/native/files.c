/* Reading many small files into one buffer: four or five system calls per file, without the interpreter in between.
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

enum { COLUMNS = 6, SEEN = 4 }; /* of a result: bytes read or -errno, size, mtime, ctime, inode, device */

/* Paths of files: names side by side, file i's from ends[i] to ends[i + 1], in runs of files that are in one folder. Run
 * k begins with file starts[k]; the path of its folder, names joined by NUL, ends at folder_ends[k] in `folders`. */
struct paths {
    int64_t count, runs;
    const char *names, *folders;
    const uint32_t *ends, *starts;
    const int64_t *folder_ends;
};

/* Open an entry of a folder by its name alone: what open_beneath does, without the system's care for longer paths. */
static int open_name(int folder, const char *from, int64_t length) {
    char name[NAME_MAX + 1];
    if (length < 1 || length > NAME_MAX || memchr(from, '/', (size_t)length)) return -EXDEV;
    memcpy(name, from, (size_t)length);
    name[length] = 0;
    if (!strcmp(name, "..")) return -EXDEV;
    for (;;) {
        int file = openat(folder, name, FILE_FLAGS);
        if (file >= 0) return file;
        if (errno != EINTR) return -errno;
    }
}

/* Write a path, names joined by NUL, as text with '/'; its length, or -ENAMETOOLONG. */
static int64_t put_path(char *text, const char *path, int64_t length) {
    if (length >= MAX_PATH) return -ENAMETOOLONG;
    for (int64_t i = 0; i < length; i++) text[i] = path[i] ? path[i] : '/';
    text[length] = 0;
    return length;
}

/* Open a file that is alone in its run. */
static int open_alone(int root, const char *folder, int64_t length, const char *name, int64_t name_length, int by_steps) {
    char text[MAX_PATH];
    if (length + 1 + name_length >= MAX_PATH) return -ENAMETOOLONG;
    put_path(text, folder, length);
    if (length) text[length++] = '/';
    put_path(text + length, name, name_length);
    return open_beneath(root, text, FILE_FLAGS, by_steps);
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

/* Read the first bytes of a file; how many there were, or -errno. */
static int64_t read_bytes(int file, uint8_t *to, int64_t length) {
    int64_t done = 0;
    while (done < length) {
        ssize_t got = pread(file, to + done, (size_t)(length - done), (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (got == 0) break;
        done += got;
    }
    return done;
}

/* Read the first bytes of a file, compare its status before and after, and close it. A status from earlier, `seen`
 * (size, mtime, ctime, inode; NULL or without an inode: unknown), is as good as one right before the read: what
 * changes the file in between changes its ctime. */
static void read_one(int file, uint8_t *to, int64_t length, const int64_t *seen, int64_t *result) {
    if (seen && seen[SEEN - 1]) {
        int64_t done = read_bytes(file, to, length);
        if (done >= 0 && !read_status(file, result) && !memcmp(seen, result + 1, SEEN * sizeof *seen)) {
            result[0] = done;
            close(file);
            return;
        } /* else it changed before the read, or meanwhile: now it is read as if nothing were known */
    }
    int64_t before[COLUMNS] = {0};
    result[0] = read_status(file, before);
    int64_t done = result[0] ? 0 : read_bytes(file, to, length);
    if (done < 0) result[0] = done;
    if (!result[0]) result[0] = read_status(file, result);
    if (!result[0]) result[0] = memcmp(before + 1, result + 1, (COLUMNS - 1) * sizeof *before) ? -EAGAIN : done;
    close(file);
}

/* Read the first lengths[i] bytes of file i, whose path is beneath the open folder `root`, to buffer + offsets[i].
 * `seen` has four numbers per file, the status that it had earlier; it may be NULL.
 * `results` has six numbers per file: bytes read, or -errno (EAGAIN: it changed while it was read); then size,
 * mtime, ctime (nanoseconds), inode and device after the read. */
EXPORT void ptolemy_read_files(int root, const struct paths *paths, uint8_t *buffer, const int64_t *offsets,
                               const int64_t *lengths, const int64_t *seen, int64_t *results, int by_steps) {
    for (int64_t k = 0; k < paths->runs; k++) {
        int64_t i = paths->starts[k], stop = k + 1 < paths->runs ? paths->starts[k + 1] : paths->count;
        int64_t start = k ? paths->folder_ends[k - 1] : 0, length = paths->folder_ends[k] - start;
        int alone = stop - i == 1, folder = root;
        if (length && !alone) {
            char text[MAX_PATH];
            folder = (int)put_path(text, paths->folders + start, length);
            if (folder >= 0) folder = open_beneath(root, text, FOLDER_FLAGS, by_steps);
        }
        for (; i < stop; i++) {
            const char *name = paths->names + paths->ends[i];
            int64_t size = (int64_t)paths->ends[i + 1] - paths->ends[i], *result = results + COLUMNS * i;
            int file = folder;
            if (length + 1 + size >= MAX_PATH)
                file = -ENAMETOOLONG;
            else if (alone)
                file = open_alone(root, paths->folders + start, length, name, size, by_steps);
            else if (folder >= 0)
                file = open_name(folder, name, size);
            if (file < 0)
                result[0] = file;
            else
                read_one(file, buffer + offsets[i], lengths[i], seen ? seen + SEEN * i : NULL, result);
        }
        if (folder >= 0 && folder != root) close(folder);
    }
}
