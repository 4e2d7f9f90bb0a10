/* Listing a folder: its names in byte order, and what lstat says of each, with no interpreter between them. */
#define _GNU_SOURCE
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel.h"

#define NO_TIME ((int64_t)1 << 32) /* in a mode: the mtime doesn't fit in 64 bits of nanoseconds */

typedef struct {
    int64_t at, length; /* of the name, in the arena */
    const char *name;
    int64_t mode, size, mtime;
} entry;

typedef struct {
    char *arena;
    entry *entries;
    int64_t used, room, count, most;
} listing;

static int grow(void **memory, int64_t *room, int64_t wanted, size_t item) {
    if (wanted <= *room) return 1;
    int64_t more = *room ? *room * 2 : 256;
    while (more < wanted) more *= 2;
    void *larger = realloc(*memory, (size_t)more * item);
    if (!larger) return 0;
    *memory = larger;
    *room = more;
    return 1;
}

/* All names but . and .. into the arena; 0, or errno. */
static int read_names(DIR *folder, listing *out) {
    for (;;) {
        errno = 0;
        struct dirent *found = readdir(folder);
        if (!found) return errno;
        const char *name = found->d_name;
        if (name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]))) continue;
        int64_t length = (int64_t)strlen(name);
        if (!grow((void **)&out->arena, &out->room, out->used + length + 1, 1) ||
            !grow((void **)&out->entries, &out->most, out->count + 1, sizeof(entry)))
            return ENOMEM;
        memcpy(out->arena + out->used, name, (size_t)length + 1);
        out->entries[out->count++] = (entry){.at = out->used, .length = length};
        out->used += length + 1;
    }
}

/* Look at each name, in the folder's own order, which is the disk's; drop those that are gone meanwhile. */
static void look(int folder, listing *out) {
    int64_t kept = 0;
    for (int64_t i = 0; i < out->count; i++) {
        entry e = out->entries[i];
        struct stat is;
        e.name = out->arena + e.at;
        if (fstatat(folder, e.name, &is, AT_SYMLINK_NOFOLLOW) == 0) {
            e.mode = (int64_t)is.st_mode;
            e.size = (int64_t)is.st_size;
            if (!nanoseconds(is.MTIME, &e.mtime)) e.mode |= NO_TIME, e.mtime = 0;
        } else if (errno == ENOENT) {
            continue;
        } else {
            e.mode = -(int64_t)errno;
            e.size = e.mtime = 0;
        }
        out->entries[kept++] = e;
    }
    out->count = kept;
}

static int by_name(const void *a, const void *b) { return strcmp(((const entry *)a)->name, ((const entry *)b)->name); }

static int64_t put_out(const listing *found, const char *prefix, int64_t length, char *paths, int64_t *modes,
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

/* List an open folder. Each path is the prefix and the name, with a slash, which no name can hold, behind it; modes
 * are st_mode, or -errno where an entry can't be looked at; mtimes are nanoseconds, and 0 with bit 32 set in the mode
 * where they don't fit in 64 bits.
 * Returns the number of entries, or -errno; -ERANGE with the needed entries and bytes in needs[0] and needs[1]
 * where a capacity doesn't suffice. */
EXPORT int64_t ptolemy_list_folder(int folder, const char *prefix, int64_t length, char *paths, int64_t bytes,
                                   int64_t *modes, int64_t *sizes, int64_t *mtimes, int64_t entries, int64_t *needs) {
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
    needs[0] = found.count;
    needs[1] = found.used + found.count * length;
    if (result == 0 && (needs[0] > entries || needs[1] > bytes)) result = -ERANGE;
    if (result == 0) {
        look(folder, &found);
        qsort(found.entries, (size_t)found.count, sizeof(entry), by_name);
        result = put_out(&found, prefix, length, paths, modes, sizes, mtimes);
    }
    rewinddir(stream); /* both descriptors share one place: leave it as others expect it */
    closedir(stream);
    free(found.arena);
    free(found.entries);
    return result;
}
