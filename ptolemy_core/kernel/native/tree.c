/* The root over one subtree of payload, depth first, so that only one tile per level is alive.
 *
 * A subtree is walked in tiles of as many nodes as the instruction set hashes side by side; the few nodes above
 * the last tile, and subtrees smaller than a tile, are hashed two at a time. */
#include "kernel.h"

#include <string.h>

enum {
    MAX_LEVELS = 56,                              /* more than an int64 of payload bytes has */
    TILE_WORDS = MAX_LANES * NODE / 4,
    MAX_TILE_PAYLOAD = MAX_LANES / 2 * BLOCK,
    MAX_OVERREAD = 64,
};

/* The root over `count` nodes (a power of two), in place. */
static void fold_nodes(parents_of_4 parents, uint8_t *nodes, unsigned count, uint8_t root[NODE]) {
    for (; count >= 4; count /= 2)
        for (unsigned i = 0; i < count; i += 4) parents(nodes + i * NODE, nodes + i / 2 * NODE);
    if (count == 2) {
        uint8_t children[4 * NODE] = {0}, both[2 * NODE]; /* the second pair is ballast */
        memcpy(children, nodes, 2 * NODE);
        parents(children, both);
        memcpy(nodes, both, NODE);
    }
    memcpy(root, nodes, NODE);
}

/* Two nodes a tile, as bytes. Neighbours on the stack are neighbours in memory: four children in a row. */
static void narrow_root(parents_of_4 parents, const uint8_t *payload, size_t blocks, uint8_t root[NODE]) {
    uint8_t stack[MAX_LEVELS][2 * NODE];
    unsigned depth = 0;
    for (size_t i = 0; i < blocks; i++) {
        uint8_t leaves[4 * NODE];
        fr32_expand(payload + i * BLOCK, leaves);
        parents(leaves, stack[depth++]);
        /* As in counting: block i completes as many levels as i has trailing ones. */
        for (size_t done = i; done & 1; done >>= 1) {
            depth--;
            parents(stack[depth - 1], stack[depth - 1]);
        }
    }
    fold_nodes(parents, stack[0], 2, root);
}

static void wide_root(const struct tree *tree, parents_of_4 parents, const uint8_t *payload, size_t blocks,
                      uint8_t root[NODE]) {
    uint32_t stack[MAX_LEVELS][TILE_WORDS] __attribute__((aligned(64)));
    uint8_t last[MAX_TILE_PAYLOAD + MAX_OVERREAD], nodes[MAX_LANES * NODE];
    size_t tile_payload = tree->nodes / 2 * BLOCK, tiles = blocks / (tree->nodes / 2);
    unsigned depth = 0;
    for (size_t i = 0; i < tiles; i++) {
        const uint8_t *from = payload + i * tile_payload;
        if (i == tiles - 1) {
            /* The caller's buffer may end here, and behind it a page that isn't there. */
            memcpy(last, from, tile_payload);
            memset(last + tile_payload, 0, tree->overread);
            from = last;
        }
        tree->leaf(from, stack[depth++]);
        for (size_t done = i; done & 1; done >>= 1) {
            depth--;
            tree->join(stack[depth - 1], stack[depth], stack[depth - 1]);
        }
    }
    tree->unpack(stack[0], nodes);
    fold_nodes(parents, nodes, tree->nodes, root);
}

void subtree_root(const struct engine *engine, const uint8_t *payload, size_t blocks, uint8_t root[NODE]) {
    if (engine->wide && blocks * 2 >= engine->wide->nodes)
        wide_root(engine->wide, engine->parents, payload, blocks, root);
    else
        narrow_root(engine->parents, payload, blocks, root);
}
