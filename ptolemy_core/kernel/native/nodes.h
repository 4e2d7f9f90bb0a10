/* Encoding nodes from the columns of their links: encode.c does it, links.c calls it for the nodes of a layout. */
#ifndef PTOLEMY_NODES_H
#define PTOLEMY_NODES_H

#include "kernel.h"

enum block { LEAF, FILE_NODE, DIRECTORY, HAMT }; /* as layout.Block; any other kind is no node */

/* The nodes to encode. Node i is block numbers[i], of this kind and size; its links are those from edges[i] to
 * edges[i + 1]. Link j leads to block targets[j], with these columns, and has the name from name_ends[j - 1] to
 * name_ends[j]. `digests` are those of all blocks. */
struct nodes {
    int64_t count, blocks;
    const int64_t *numbers, *sizes, *edges, *targets, *tsizes, *lengths, *name_ends;
    const int8_t *kinds, *target_kinds;
    const uint8_t *names;
    uint8_t *digests;
};

/* Encode and hash nodes, children before parents: their sections one after the other into `out`, which has room for
 * all of them and 128 bytes more, and their digests beside those of all blocks. ends[i] is the offset after
 * section i. Returns how many were encoded: less than all if the next one doesn't have the size it was laid out with. */
int64_t encode_nodes(const struct engine *engine, const struct nodes *nodes, uint8_t *out, int64_t room, int64_t *ends);

#endif
