/* Opening entries beneath a folder, so that no symbolic link can lead out of it.
 *
 * One call of openat2 (Linux 5.6) where the system has it; otherwise each folder of the path is opened from its
 * parent. Both refuse links anywhere in the path, and "..". */
#define _GNU_SOURCE
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"

#if defined(__linux__)
#include <sys/syscall.h>
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

struct how { /* struct open_how of linux/openat2.h, which older systems don't have */
    uint64_t flags, mode, resolve;
};

enum { NO_SYMLINKS = 0x04, BENEATH = 0x08, MAX_ATTEMPTS = 16 };

static int open_at_once(int root, const char *path, int flags) {
    struct how how = {.flags = (uint64_t)(unsigned)flags, .resolve = NO_SYMLINKS | BENEATH};
    for (int attempts = 0;; attempts++) {
        long file = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (file >= 0) return (int)file;
        /* EAGAIN: something was renamed or mounted meanwhile, so the kernel can't be sure */
        if (errno != EINTR && !(errno == EAGAIN && attempts < MAX_ATTEMPTS)) return -errno;
    }
}

/* Whether openat2 exists and may be called: old container runtimes return EPERM. */
static int has_openat2(void) {
    static int known; /* 0: unknown, 1: yes, 2: no; threads that check at the same time get the same result */
    int answer = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!answer) {
        int file = open_at_once(AT_FDCWD, ".", O_PATH | O_CLOEXEC);
        if (file >= 0) close(file);
        answer = file == -ENOSYS || file == -EPERM || file == -EINVAL || file == -E2BIG ? 2 : 1;
        __atomic_store_n(&known, answer, __ATOMIC_RELAXED);
    }
    return answer == 1;
}
#else
static int open_at_once(int root, const char *path, int flags) {
    (void)root, (void)path, (void)flags;
    return -ENOSYS;
}
static int has_openat2(void) { return 0; }
#endif

#if defined(O_PATH)
#define FOLDER_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) /* only needs search permission */
#else
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#endif

static int open_by_steps(int root, const char *path, int flags) {
    int folder = root, result;
    char name[NAME_MAX + 1];
    for (;;) {
        const char *slash = strchr(path, '/');
        size_t length = slash ? (size_t)(slash - path) : strlen(path);
        result = -ENAMETOOLONG;
        if (length > NAME_MAX) break;
        memcpy(name, path, length);
        name[length] = 0;
        result = -EXDEV; /* as openat2 does */
        if (!length || !strcmp(name, "..")) break;
        int opened = openat(folder, name, slash ? FOLDER_FLAGS : flags | O_NOFOLLOW);
        result = opened >= 0 ? opened : -errno;
        if (result == -EINTR) continue;
        if (result < 0 || !slash) break;
        if (folder != root) close(folder);
        folder = result;
        path = slash + 1;
    }
    if (folder != root) close(folder);
    return result;
}

static int open_short(int root, const char *path, int flags, int by_steps) {
    if (!by_steps && has_openat2()) {
        int file = open_at_once(root, path, flags | O_NOFOLLOW);
        if (file != -EAGAIN) return file;
    }
    return open_by_steps(root, path, flags);
}

enum { PART = 4000 }; /* bytes of a path passed to one call, at most; Linux allows 4095 */

int open_beneath(int root, const char *path, int flags, int by_steps) {
    int folder = root, result = 0;
    char part[PART + 1];
    while (strnlen(path, PART + 1) > PART) {
        memcpy(part, path, PART);
        part[PART] = 0;
        char *cut = strrchr(part, '/');
        result = -ENAMETOOLONG;
        if (!cut) break;
        *cut = 0;
        result = open_short(folder, part, FOLDER_FLAGS, by_steps);
        if (result < 0) break;
        if (folder != root) close(folder);
        folder = result;
        path += cut - part + 1;
    }
    if (result >= 0) result = open_short(folder, path, flags, by_steps);
    if (folder != root) close(folder);
    return result;
}

EXPORT int ptolemy_open_beneath(int root, const char *path, int flags, int by_steps) {
    return open_beneath(root, path, flags, by_steps);
}
