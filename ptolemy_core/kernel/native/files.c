/* Reading many small files into one buffer: five system calls a file, and no interpreter between them.
 *
 * Only the usual case is served here: a regular file that stayed the same while it was read. Whatever else is met is
 * marked and left to the caller, who finds out why and says so. Whether a file is the expected one is for the
 * caller to compare. */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"

/* O_NONBLOCK: what has become a pipe must not hold us; O_NOFOLLOW: nor what became a link */
enum { FILE_FLAGS = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, LONGEST = 4096 };

#if defined(O_PATH)
enum { FOLDER_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
#else
enum { FOLDER_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
#endif

enum { COLUMNS = 6 }; /* of an answer: bytes read or -errno, size, mtime, ctime, inode, device */

/* The folder of the last file, kept open where the next one is in it too. */
typedef struct {
    int root, by_steps, folder;
    int64_t length; /* of its path */
    char path[LONGEST];
} place;

static int64_t folder_length(const char *path, int64_t length) {
    while (length > 0 && path[--length]) {} /* the names of a path are joined by NUL */
    return length;
}

static void leave_folder(place *at) {
    if (at->folder >= 0) close(at->folder);
    at->folder = -1;
}

/* Open a file; shared: the next one is in the same folder. -errno if it can't be. */
static int open_file(place *at, const char *path, int64_t length, int shared) {
    char text[LONGEST];
    int64_t folder = folder_length(path, length);
    if (length >= LONGEST) return -ENAMETOOLONG;
    for (int64_t i = 0; i < length; i++) text[i] = path[i] ? path[i] : '/';
    text[length] = 0;
    if (!folder) return open_beneath(at->root, text, FILE_FLAGS, at->by_steps);
    if (at->folder < 0 || at->length != folder || memcmp(at->path, path, (size_t)folder)) {
        leave_folder(at);
        if (!shared) return open_beneath(at->root, text, FILE_FLAGS, at->by_steps);
        text[folder] = 0;
        at->folder = open_beneath(at->root, text, FOLDER_FLAGS, at->by_steps);
        if (at->folder < 0) return at->folder;
        memcpy(at->path, path, (size_t)folder);
        at->length = folder;
    }
    return open_beneath(at->folder, text + folder + 1, FILE_FLAGS, at->by_steps);
}

static int describe(int file, int64_t *answer) {
    struct stat is;
    if (fstat(file, &is)) return -errno;
    if (!S_ISREG(is.st_mode)) return -EINVAL;
    if (!nanoseconds(is.MTIME, &answer[2])) return -ERANGE;
    nanoseconds(is.CTIME, &answer[3]); /* only compared, so modulo 2^64 will do */
    answer[1] = (int64_t)is.st_size;
    answer[4] = (int64_t)is.st_ino;
    answer[5] = (int64_t)is.st_dev;
    return 0;
}

/* Read the first bytes of a file, and say what it was before and after; closes it. */
static void read_one(int file, uint8_t *to, int64_t length, int64_t *answer) {
    int64_t before[COLUMNS] = {0}, done = 0;
    answer[0] = describe(file, before);
    while (!answer[0] && done < length) {
        ssize_t got = pread(file, to + done, (size_t)(length - done), (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) answer[0] = -errno;
        if (got <= 0) break;
        done += got;
    }
    if (!answer[0]) answer[0] = describe(file, answer);
    if (!answer[0]) answer[0] = memcmp(before + 1, answer + 1, (COLUMNS - 1) * sizeof *before) ? -EAGAIN : done;
    close(file);
}

/* Read the first lengths[i] bytes of file i to buffer + places[i]. Its path, names joined by NUL beneath the open
 * folder `root`, is the bytes of `paths` from ends[i - 1] to ends[i].
 * Of each there are six numbers in `answers`: bytes read, or -errno (EAGAIN: it changed while it was read); size,
 * mtime, ctime (nanoseconds), inode and device after the read. */
EXPORT void ptolemy_read_files(int root, const char *paths, const int64_t *ends, uint8_t *buffer,
                               const int64_t *places, const int64_t *lengths, int64_t count, int64_t *answers,
                               int by_steps) {
    place at = {.root = root, .by_steps = by_steps, .folder = -1};
    for (int64_t i = 0; i < count; i++, answers += COLUMNS) {
        int64_t start = i ? ends[i - 1] : 0, length = ends[i] - start, shared = 0;
        const char *path = paths + start, *next = paths + ends[i];
        if (i + 1 < count) {
            int64_t folder = folder_length(path, length);
            shared = folder_length(next, ends[i + 1] - ends[i]) == folder && !memcmp(path, next, (size_t)folder);
        }
        int file = open_file(&at, path, length, (int)shared);
        if (file < 0)
            answers[0] = file;
        else
            read_one(file, buffer + places[i], lengths[i], answers);
    }
    leave_folder(&at);
}
