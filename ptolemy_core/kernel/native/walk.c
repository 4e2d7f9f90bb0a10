/* Walking a folder in path order, many entries in one call.
 *
 * Only the common case is handled here: readable files, links and folders. At anything else the walk ends, and the
 * caller looks for itself, and says what is wrong. No descriptor is kept open per level, and no link is followed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "folder.h"
#include "kernel.h"

enum { OPEN_FOLDER = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, READABLE = 0444 };

typedef struct {
    listing of;
    int64_t next;   /* entry */
    int64_t length; /* of its path */
} level;

struct walk {
    int root;
    int64_t depth, level_capacity; /* levels open, the last one is where the walk is */
    level *levels;
    char *path; /* of the last level, names joined by '/' */
    int64_t path_capacity;
    int run; /* whether the entries written last are in the last level's folder */
};

/* Room for entries, and what was written there: names side by side, entry i's from ends[i] to ends[i + 1], and its
 * status. Runs of entries are in one folder: run k begins with entry starts[k], and the path of its folder, names
 * joined by NUL, ends at folder_ends[k] in `folders`. */
struct walked {
    int64_t room, bytes, folder_bytes; /* runs have as much room as entries */
    int64_t count, runs;
    char *names, *folders;
    uint32_t *ends, *starts;
    int64_t *folder_ends, *modes, *sizes, *mtimes, *ctimes, *inodes;
};

/* Whether an entry can be stored without a closer look; `folder` is its own. */
static int is_usual(int folder, const entry *e) {
    if (e->mode < 0 || e->mode & NO_TIME) return 0;
    mode_t mode = (mode_t)e->mode;
    if (S_ISREG(mode)) return (mode & READABLE) == READABLE || faccessat(folder, e->name, R_OK, 0) == 0;
    return S_ISDIR(mode) || S_ISLNK(mode);
}

/* Read the open folder `descriptor`, and close it; 0, or -errno. */
static int read_level(int descriptor, listing *out) {
    DIR *stream = fdopendir(descriptor);
    if (!stream) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    int result = -read_folder(stream, descriptor, out);
    for (int64_t i = 0; !result && i < out->count; i++)
        if (!is_usual(descriptor, out->entries + i)) result = -EUCLEAN;
    closedir(stream);
    return result;
}

static int push(struct walk *at, const listing *of, int64_t length) {
    if (!grow((void **)&at->levels, &at->level_capacity, at->depth + 1, sizeof(level))) return 0;
    at->levels[at->depth++] = (level){*of, 0, length};
    at->run = 0;
    return 1;
}

/* Go into the folder that is the last level's next entry, unless it is empty. Returns 1 if it is, 0 if not, -errno on
 * failure. */
static int enter(struct walk *at) {
    level *current = at->levels + at->depth - 1;
    const entry *e = current->of.entries + current->next;
    int64_t length = current->length + (current->length > 0) + e->length;
    if (!grow((void **)&at->path, &at->path_capacity, length + 1, 1)) return -ENOMEM;
    if (current->length) at->path[current->length] = '/';
    memcpy(at->path + length - e->length, e->name, (size_t)e->length + 1);
    int descriptor = open_beneath(at->root, at->path, OPEN_FOLDER, 0);
    if (descriptor == -ENOENT) { /* removed since its parent was listed */
        current->next++;
        return 0;
    }
    if (descriptor < 0) return descriptor;
    listing found = {0};
    int result = read_level(descriptor, &found);
    if (!result && !found.count) result = 1;
    if (!result) {
        current->next++;
        if (!push(at, &found, length)) result = -ENOMEM;
    }
    if (result) free_listing(&found);
    return result;
}

/* Write the last level's next entry; returns whether there was room for it. */
static int put_entry(struct walk *at, struct walked *out) {
    level *current = at->levels + at->depth - 1;
    const entry *e = current->of.entries + current->next;
    int64_t used = out->ends[out->count];
    if (out->count == out->room || e->length > out->bytes - used) return 0;
    if (!at->run) {
        int64_t folders = out->runs ? out->folder_ends[out->runs - 1] : 0;
        if (current->length > out->folder_bytes - folders) return 0;
        for (int64_t i = 0; i < current->length; i++)
            out->folders[folders + i] = at->path[i] == '/' ? 0 : at->path[i];
        out->starts[out->runs] = (uint32_t)out->count;
        out->folder_ends[out->runs++] = folders + current->length;
        at->run = 1;
    }
    memcpy(out->names + used, e->name, (size_t)e->length);
    out->modes[out->count] = e->mode;
    out->sizes[out->count] = e->size;
    out->mtimes[out->count] = e->mtime;
    out->ctimes[out->count] = e->ctime;
    out->inodes[out->count] = e->inode;
    out->ends[++out->count] = (uint32_t)(used + e->length);
    current->next++;
    return 1;
}

/* End a walk. */
EXPORT void ptolemy_walk_end(struct walk *at) {
    if (at->root >= 0) close(at->root);
    while (at->depth) free_listing(&at->levels[--at->depth].of);
    free(at->levels);
    free(at->path);
    free(at);
}

/* Start to walk the open folder `root`; NULL without memory, or if it has what the caller must
 * look at. */
EXPORT struct walk *ptolemy_walk_start(int root) {
    struct walk *at = calloc(1, sizeof *at);
    if (!at) return NULL;
    at->root = fcntl(root, F_DUPFD_CLOEXEC, 0);
    listing found = {0};
    int descriptor = openat(at->root, ".", OPEN_FOLDER);
    if (descriptor >= 0 && read_level(descriptor, &found) == 0 && push(at, &found, 0)) return at;
    free_listing(&found);
    ptolemy_walk_end(at);
    return NULL;
}

/* Write the next entries, all but folders that have entries, in path order. Returns 0 (there are no more if nothing
 * was written), or -errno: the caller must look itself. */
EXPORT int64_t ptolemy_walk_next(struct walk *at, struct walked *out) {
    out->count = out->runs = 0;
    out->ends[0] = 0;
    at->run = 0;
    while (at->depth) {
        level *current = at->levels + at->depth - 1;
        if (current->next == current->of.count) {
            free_listing(&current->of);
            at->depth--;
            at->run = 0;
            continue;
        }
        if (S_ISDIR((mode_t)current->of.entries[current->next].mode)) {
            if (out->count == out->room) return 0; /* it may be empty, and then there must be room */
            int entered = enter(at);
            if (entered < 0) return entered;
            if (!entered) continue;
        }
        if (!put_entry(at, out)) return out->count ? 0 : -ENAMETOOLONG;
    }
    return 0;
}
