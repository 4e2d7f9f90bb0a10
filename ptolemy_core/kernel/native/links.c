/* Encoding nodes of a layout, from their numbers alone: their links and names are gathered from its columns. */
#include <string.h>

#include "nodes.h"

/* Names side by side, in pages: name k of page p is the bytes of names[p] from ends[p][k] to ends[p][k + 1]. The
 * first name of page p is number firsts[p]; firsts[pages] is the number of all names. */
struct names {
    int64_t pages;
    const int64_t *firsts;
    const uint8_t *const *names;
    const uint32_t *const *ends;
};

/* The blocks of a layout in depth-first pre-order. The nodes among them, and links to elsewhere, are those at `at`, in
 * order, with the blocks, bytes and bytes of file data of their subtrees; all others are leaves. `bases` are the first
 * blocks of files of many leaves, and before[k] is how many blocks without a name come before the k-th of them. */
struct layout {
    int64_t blocks, nodes, larges;
    const int8_t *kinds;
    const int32_t *sizes;
    const int64_t *at, *counts, *tsizes, *lengths, *bases, *before;
    struct names names;
};

/* Room for the links of a node and for the bytes of their names. */
struct links {
    int64_t room, bytes;
    int64_t *targets, *tsizes, *lengths, *name_ends;
    int8_t *kinds;
    uint8_t *names;
};

/* The first of values[low..high) that isn't below `value`; near `low` in most cases. */
static int64_t first_from(const int64_t *values, int64_t low, int64_t high, int64_t value) {
    int64_t step = 1;
    while (low < high && values[low] < value) {
        if (high - low > step && values[low + step] < value) {
            low += step;
            step *= 2;
        } else if (step > 1) {
            step /= 2;
        } else {
            low++;
        }
    }
    return low;
}

/* Copies name `row` to `to`; returns its length, or -1 if there is none or no room. `page` is where to look first. */
static int64_t copy_name(const struct names *of, int64_t row, int64_t *page, uint8_t *to, int64_t room) {
    if (row < 0 || row >= of->firsts[of->pages]) return -1;
    if (row < of->firsts[*page] || row >= of->firsts[*page + 1]) {
        int64_t low = 0, high = of->pages; /* firsts[low] <= row < firsts[high] */
        while (high - low > 1) {
            int64_t middle = low + (high - low) / 2;
            if (of->firsts[middle] <= row)
                low = middle;
            else
                high = middle;
        }
        *page = low;
    }
    const uint32_t *ends = of->ends[*page] + (row - of->firsts[*page]);
    int64_t length = (int64_t)ends[1] - ends[0];
    if (length < 0 || length > room) return -1;
    memcpy(to, of->names[*page] + ends[0], (size_t)length);
    return length;
}

/* Gather the links of a node; how many they are, or -1 if the block is none, or if they don't fit in. */
static int64_t gather(const struct layout *of, int64_t number, const struct links *out, int64_t *page) {
    int64_t node = first_from(of->at, 0, of->nodes, number), done = 0, used = 0;
    if (number < 0 || node == of->nodes || of->at[node] != number) return -1;
    int64_t block = number + 1, end = number + of->counts[node], named = of->kinds[number] != FILE_NODE;
    int64_t large = named ? first_from(of->bases, 0, of->larges, block) : 0;
    if (end > of->blocks) return -1;
    for (node++; block < end; done++) {
        int inner = node < of->nodes && of->at[node] == block;
        if (done == out->room || (inner && of->counts[node] < 1)) return -1;
        out->targets[done] = block;
        out->kinds[done] = of->kinds[block];
        out->tsizes[done] = inner ? of->tsizes[node] : of->sizes[block];
        out->lengths[done] = inner ? of->lengths[node] : of->sizes[block];
        if (named) { /* links inside a file have no names */
            while (large < of->larges && of->bases[large] < block) large++;
            int64_t row = block - of->before[large];
            int64_t length = copy_name(&of->names, row, page, out->names + used, out->bytes - used);
            if (length < 0) return -1;
            used += length;
        }
        out->name_ends[done] = used;
        block += inner ? of->counts[node] : 1;
        if (inner) node = first_from(of->at, node + 1, of->nodes, block);
    }
    return done;
}

/* Encode and hash nodes of a layout, children before parents, as encode_nodes does; `links` has room for the links of
 * any one of them. `digests` are those of all blocks. */
EXPORT int64_t ptolemy_layout_nodes(int variant, const struct layout *of, const int64_t *numbers, int64_t count,
                                    const struct links *links, uint8_t *digests, uint8_t *out, int64_t room,
                                    int64_t *ends) {
    const struct engine *engine = engine_of(variant);
    int64_t page = 0, at = 0;
    for (int64_t i = 0; i < count; i++) {
        int64_t edges[2] = {0, gather(of, numbers[i], links, &page)};
        if (edges[1] < 0) return i;
        int64_t size = of->sizes[numbers[i]];
        struct nodes one = {.count = 1,
                            .blocks = of->blocks,
                            .numbers = numbers + i,
                            .sizes = &size,
                            .edges = edges,
                            .targets = links->targets,
                            .tsizes = links->tsizes,
                            .lengths = links->lengths,
                            .name_ends = links->name_ends,
                            .kinds = of->kinds + numbers[i],
                            .target_kinds = links->kinds,
                            .names = links->names,
                            .digests = digests};
        if (encode_nodes(engine, &one, out + at, room - at, ends + i) < 1) return i;
        at = ends[i] += at;
    }
    return count;
}
