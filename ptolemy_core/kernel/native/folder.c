/* Listing a folder: its names in byte order with the lstat of each, without the interpreter in between. */
#define _GNU_SOURCE
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"

#define MOST_THREADS 4
#define PER_THREAD 100 /* entries that are worth a thread */
#define AT_ONCE 16     /* entries that a thread takes */

int grow(void **memory, int64_t *capacity, int64_t wanted, size_t item) {
    if (wanted <= *capacity) return 1;
    int64_t more = *capacity ? *capacity * 2 : 256;
    while (more < wanted) more *= 2;
    void *larger = realloc(*memory, (size_t)more * item);
    if (!larger) return 0;
    *memory = larger;
    *capacity = more;
    return 1;
}

/* Copy all names except . and .. into the arena; 0, or errno. */
static int read_names(DIR *folder, listing *out) {
    for (;;) {
        errno = 0;
        struct dirent *found = readdir(folder);
        if (!found) return errno;
        const char *name = found->d_name;
        if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]))) continue;
        int64_t length = (int64_t)strlen(name);
        if (!grow((void **)&out->arena, &out->arena_capacity, out->used + length + 1, 1) ||
            !grow((void **)&out->entries, &out->entry_capacity, out->count + 1, sizeof(entry)))
            return ENOMEM;
        memcpy(out->arena + out->used, name, (size_t)length + 1);
        out->entries[out->count++] = (entry){.at = out->used, .length = length};
        out->used += length + 1;
    }
}

/* lstat one name: mode, size and mtime of its entry; mode is -errno where that failed. */
static void lstat_one(int folder, const char *arena, entry *e) {
    struct stat status;
    e->name = arena + e->at;
    if (fstatat(folder, e->name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        e->mode = (int64_t)status.st_mode;
        e->size = (int64_t)status.st_size;
        if (!nanoseconds(status.MTIME, &e->mtime)) e->mode |= NO_TIME, e->mtime = 0;
        nanoseconds(status.CTIME, &e->ctime); /* only compared, so modulo 2^64 is enough */
        e->inode = (int64_t)status.st_ino;
    } else {
        e->mode = -(int64_t)errno;
        e->size = e->mtime = e->ctime = e->inode = 0;
    }
}

typedef struct {
    int folder;
    listing *of;
    int64_t next; /* entry that no thread has taken yet */
} shared_work;

static void *lstat_some(void *argument) {
    shared_work *work = argument;
    for (;;) {
        int64_t low = __atomic_fetch_add(&work->next, AT_ONCE, __ATOMIC_RELAXED);
        if (low >= work->of->count) return NULL;
        int64_t high = low + AT_ONCE < work->of->count ? low + AT_ONCE : work->of->count;
        for (int64_t i = low; i < high; i++) lstat_one(work->folder, work->of->arena, work->of->entries + i);
    }
}

static int64_t usable_cpus(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
    return sysconf(_SC_NPROCESSORS_ONLN);
}

/* lstat each name in the folder's own order, which follows the disk, on several threads if there are many; drop names
 * that have vanished. */
static void lstat_all(int folder, listing *out) {
    shared_work work = {folder, out, 0};
    pthread_t threads[MOST_THREADS - 1];
    int started = 0;
    int64_t wanted = out->count / PER_THREAD;
    if (wanted > 1) {
        int64_t cpus = usable_cpus();
        if (wanted > cpus) wanted = cpus;
        if (wanted > MOST_THREADS) wanted = MOST_THREADS;
        sigset_t all, before; /* signals are for the caller's own threads */
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        while (started + 1 < wanted && pthread_create(&threads[started], NULL, lstat_some, &work) == 0) started++;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    lstat_some(&work);
    while (started > 0) pthread_join(threads[--started], NULL);
    int64_t kept = 0;
    for (int64_t i = 0; i < out->count; i++)
        if (out->entries[i].mode != -ENOENT) out->entries[kept++] = out->entries[i];
    out->count = kept;
}

static int by_name(const void *a, const void *b) { return strcmp(((const entry *)a)->name, ((const entry *)b)->name); }

int read_folder(DIR *stream, int folder, listing *out) {
    int error = read_names(stream, out);
    if (!error) {
        lstat_all(folder, out);
        qsort(out->entries, (size_t)out->count, sizeof(entry), by_name);
    }
    return error;
}

void free_listing(listing *of) {
    free(of->arena);
    free(of->entries);
}

static int64_t copy_columns(const listing *found, const char *prefix, int64_t length, char *paths, int64_t *modes,
                            int64_t *sizes, int64_t *mtimes) {
    for (int64_t i = 0; i < found->count; i++) {
        const entry *e = found->entries + i;
        memcpy(paths, prefix, (size_t)length);
        memcpy(paths + length, e->name, (size_t)e->length);
        paths += length + e->length;
        *paths++ = '/';
        modes[i] = e->mode;
        sizes[i] = e->size;
        mtimes[i] = e->mtime;
    }
    return found->count;
}

/* List an open folder. Each path is the prefix and the name, followed by a slash (which no name contains); modes are
 * st_mode, or -errno where lstat failed; mtimes are nanoseconds, or 0 with bit 32 set in the mode if they don't fit
 * in 64 bits.
 * Returns the number of entries, or -errno; -ERANGE if a capacity is too small. needed[0] and needed[1] are the
 * entries and bytes that are needed. */
EXPORT int64_t ptolemy_list_folder(int folder, const char *prefix, int64_t length, char *paths, int64_t bytes,
                                   int64_t *modes, int64_t *sizes, int64_t *mtimes, int64_t entries, int64_t *needed) {
    int own = fcntl(folder, F_DUPFD_CLOEXEC, 0); /* the stream closes it */
    if (own < 0) return -errno;
    DIR *stream = fdopendir(own);
    if (!stream) {
        int error = errno;
        close(own);
        return -error;
    }
    rewinddir(stream);
    listing found = {0};
    int64_t result = -read_names(stream, &found);
    needed[0] = found.count;
    needed[1] = found.used + found.count * length;
    if (result == 0 && (needed[0] > entries || needed[1] > bytes)) result = -ERANGE;
    if (result == 0) {
        lstat_all(folder, &found);
        qsort(found.entries, (size_t)found.count, sizeof(entry), by_name);
        result = copy_columns(&found, prefix, length, paths, modes, sizes, mtimes);
    }
    rewinddir(stream); /* both descriptors share one position: leave it at the start for the caller */
    closedir(stream);
    free(found.arena);
    free(found.entries);
    return result;
}
