/* The kernel's interface to Python (the functions that start with ptolemy_) and between its own files.
 *
 * Two loops live here: SHA-256 of many byte ranges, and roots of piece-commitment subtrees. Every instruction
 * set offers the same two small interfaces, `struct rung` and `struct tree`; dispatch.c combines them. */
#ifndef PTOLEMY_KERNEL_H
#define PTOLEMY_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

/* Ask for complete unrolling: the arrays that such loops index then live in registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__x86_64__)
#define X86 1
#elif defined(__aarch64__)
#define ARM 1
#endif

enum {
    BLOCK = 127,      /* payload bytes of one Fr32 block, which expands to 128 */
    MESSAGE = 64,     /* bytes of a SHA-256 block, and of two tree nodes */
    NODE = 32,        /* bytes of a tree node and of a digest */
    MAX_LANES = 16,   /* of any rung and any tree */
};

/* ---- what an instruction set offers ---- */

/* A way to hash up to `lanes` messages side by side.
 *
 * run() feeds `blocks` (>= 1) whole 64-byte blocks of each message into its lane's state; word i of lane j is
 * state[i * lanes + j]. It pays to use this rung while at least `worth` lanes have work. */
struct rung {
    unsigned lanes;
    unsigned worth;
    void (*run)(uint32_t *state, const uint8_t *const *messages, size_t blocks);
};

/* A way to build trees, a tile of `nodes` sibling nodes at a time. How a tile holds its nodes is its own affair.
 *
 * leaf() makes a tile from nodes / 2 Fr32 blocks of payload, and may read `overread` bytes behind them;
 * join() makes the parents of the nodes of two adjacent tiles (tile may be left);
 * unpack() writes a tile's nodes as bytes. */
struct tree {
    unsigned nodes;
    unsigned overread;
    void (*leaf)(const uint8_t *payload, uint32_t *tile);
    void (*join)(const uint32_t *left, const uint32_t *right, uint32_t *tile);
    void (*unpack)(const uint32_t *tile, uint8_t *nodes);
};

/* The parents of two pairs of nodes, which may take the first children's place. */
typedef void (*parents_of_4)(const uint8_t children[4 * NODE], uint8_t parents[2 * NODE]);

/* One choice of ways. `wide` is NULL where nothing is wider than `parents`; the last rung has one lane. */
struct engine {
    const struct tree *wide;
    parents_of_4 parents;
    struct rung rungs[3];
    unsigned rung_count;
};

/* ---- sha256.c ---- */

extern const uint32_t sha256_start[8];
extern const uint32_t sha256_k[64];

/* K + W of the second block of every 64-byte message: it is all padding, so its schedule is a constant. */
extern uint32_t sha256_padding_wk[64];

/* Fr32: 127 bytes to four 32-byte leaves of 254 bits. Reads and writes nothing beyond. */
void fr32_expand(const uint8_t payload[BLOCK], uint8_t leaves[4 * NODE]);

/* ---- the instruction sets ---- */

void portable_run(uint32_t *state, const uint8_t *const *messages, size_t blocks);
void portable_parents(const uint8_t *children, uint8_t *parents);
#if X86
void avx512_run(uint32_t *state, const uint8_t *const *messages, size_t blocks);
extern const struct tree avx512_tree;
void avx2_run(uint32_t *state, const uint8_t *const *messages, size_t blocks);
extern const struct tree avx2_tree;
void shani_run_1(uint32_t *state, const uint8_t *const *messages, size_t blocks);
void shani_run_2(uint32_t *state, const uint8_t *const *messages, size_t blocks);
void shani_parents(const uint8_t *children, uint8_t *parents);
#endif
#if ARM
void arm_run_1(uint32_t *state, const uint8_t *const *messages, size_t blocks);
void arm_run_2(uint32_t *state, const uint8_t *const *messages, size_t blocks);
void arm_parents(const uint8_t *children, uint8_t *parents);
#endif

/* ---- ranges.c, tree.c ---- */

void hash_ranges(const struct engine *engine, const uint8_t *data, const int64_t *offsets, const int64_t *lengths,
                 const int64_t *order, size_t count, uint8_t *digests);
void subtree_root(const struct engine *engine, const uint8_t *payload, size_t blocks, uint8_t root[NODE]);

/* ---- dispatch.c ---- */

/* What a variant is made of; NULL: this CPU can't run it. */
const struct engine *engine_of(int variant);

/* ---- dispatch.c: what Python calls ---- */

/* Changes when a function below changes. */
EXPORT int ptolemy_kernel_interface(void);

/* The name of variant 0, 1, ..., best first; NULL behind the last one this library was built with. */
EXPORT const char *ptolemy_variant_name(int variant);

/* Whether this CPU can run that variant. The functions below must be called with such a one. */
EXPORT int ptolemy_variant_available(int variant);

/* SHA-256 of lengths[i] bytes at data + offsets[i] into digests + 32 i, for i < count.
 * `order` names the ranges in the order to start them, longest first; NULL: as they come. */
EXPORT void ptolemy_sha256_ranges(int variant, const uint8_t *data, const int64_t *offsets, const int64_t *lengths,
                                  const int64_t *order, int64_t count, uint8_t *digests);

/* The roots of `count` subtrees of `blocks` (a power of two) Fr32 blocks each, one after the other in payload. */
EXPORT void ptolemy_subtree_roots(int variant, const uint8_t *payload, int64_t blocks, int64_t count,
                                  uint8_t *roots);

/* ---- byte order ---- */

INLINE uint32_t load_be32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

INLINE void store_be32(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

#endif
