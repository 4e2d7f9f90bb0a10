/* A folder's entries with their status: folder.c reads them, walk.c goes from folder to folder. */
#ifndef PTOLEMY_FOLDER_H
#define PTOLEMY_FOLDER_H

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>

#include "files.h"

#define NO_TIME ((int64_t)1 << 32) /* in a mode: the mtime doesn't fit in 64 bits of nanoseconds */

typedef struct {
    int64_t at, length; /* of the name, in the arena */
    const char *name;
    int64_t mode, size, mtime, ctime, inode; /* mode is -errno where lstat failed */
} entry;

typedef struct {
    char *arena;
    entry *entries;
    int64_t used, arena_capacity, count, entry_capacity;
} listing;

/* Make room for `wanted` items; returns whether there is. */
int grow(void **memory, int64_t *capacity, int64_t wanted, size_t item);

/* The entries of an open folder, sorted by name, into an empty listing; 0, or errno. */
int read_folder(DIR *stream, int folder, listing *out);

void free_listing(listing *of);

#endif
