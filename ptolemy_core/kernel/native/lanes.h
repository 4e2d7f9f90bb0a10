/* SHA-256 in lanes: the rounds written once for any width of vector. One lane is one message.
 *
 * The including file defines, for its instruction set:
 *   VEC, LANES, TARGET                  the vector type, its 32-bit lanes, the function attribute
 *   ADD(a, b) AND(a, b) XOR3(a, b, c)   lane by lane
 *   ROTR(x, n) SHR(x, n)
 *   CHOOSE(e, f, g) MAJORITY(a, b, c)   Ch and Maj of FIPS 180-4
 *   BROADCAST(u32) LOAD(ptr) STORE(ptr, v)   aligned
 * and after it includes this file: load_messages, load_leaves, split_siblings (see the ends of those files). */

#define BIG_SIGMA0(x) XOR3(ROTR(x, 2), ROTR(x, 13), ROTR(x, 22))
#define BIG_SIGMA1(x) XOR3(ROTR(x, 6), ROTR(x, 11), ROTR(x, 25))
#define SMALL_SIGMA0(x) XOR3(ROTR(x, 7), ROTR(x, 18), SHR(x, 3))
#define SMALL_SIGMA1(x) XOR3(ROTR(x, 17), ROTR(x, 19), SHR(x, 10))

/* One round. Instead of moving a..h on by one, the caller renames them. */
#define ROUND(a, b, c, d, e, f, g, h, wk)                                              \
    do {                                                                               \
        VEC t1 = ADD(ADD(h, wk), ADD(BIG_SIGMA1(e), CHOOSE(e, f, g)));                 \
        d = ADD(d, t1);                                                                \
        h = ADD(t1, ADD(BIG_SIGMA0(a), MAJORITY(a, b, c)));                            \
    } while (0)

/* Eight rounds, after which the names are back in their places. WK(i) is K + W of round i. */
#define ROUNDS_8(i, WK)                            \
    do {                                           \
        ROUND(a, b, c, d, e, f, g, h, WK((i)));     \
        ROUND(h, a, b, c, d, e, f, g, WK((i) + 1)); \
        ROUND(g, h, a, b, c, d, e, f, WK((i) + 2)); \
        ROUND(f, g, h, a, b, c, d, e, WK((i) + 3)); \
        ROUND(e, f, g, h, a, b, c, d, WK((i) + 4)); \
        ROUND(d, e, f, g, h, a, b, c, WK((i) + 5)); \
        ROUND(c, d, e, f, g, h, a, b, WK((i) + 6)); \
        ROUND(b, c, d, e, f, g, h, a, WK((i) + 7)); \
    } while (0)

/* K + W for the first 16 rounds; for later ones, which first put W(i) in the place of W(i - 16); for padding. */
#define WK_GIVEN(i) ADD(w[(i) % 16], BROADCAST(sha256_k[i]))
#define WK_MADE(i)                                                                             \
    (w[(i) % 16] = ADD(ADD(w[(i) % 16], SMALL_SIGMA0(w[((i) + 1) % 16])),                      \
                       ADD(w[((i) + 9) % 16], SMALL_SIGMA1(w[((i) + 14) % 16]))),              \
     ADD(w[(i) % 16], BROADCAST(sha256_k[i])))
#define WK_PADDING(i) BROADCAST(sha256_padding_wk[i])

/* state += rounds(state, one block); w is used up. */
TARGET INLINE void compress_lanes(VEC state[8], VEC w[16]) {
    VEC a = state[0], b = state[1], c = state[2], d = state[3];
    VEC e = state[4], f = state[5], g = state[6], h = state[7];
    ROUNDS_8(0, WK_GIVEN);
    ROUNDS_8(8, WK_GIVEN);
    ROUNDS_8(16, WK_MADE);
    ROUNDS_8(24, WK_MADE);
    ROUNDS_8(32, WK_MADE);
    ROUNDS_8(40, WK_MADE);
    ROUNDS_8(48, WK_MADE);
    ROUNDS_8(56, WK_MADE);
    state[0] = ADD(state[0], a), state[1] = ADD(state[1], b), state[2] = ADD(state[2], c);
    state[3] = ADD(state[3], d), state[4] = ADD(state[4], e), state[5] = ADD(state[5], f);
    state[6] = ADD(state[6], g), state[7] = ADD(state[7], h);
}

/* The same for the constant block behind a 64-byte message: no schedule to compute. */
TARGET INLINE void compress_padding(VEC state[8]) {
    VEC a = state[0], b = state[1], c = state[2], d = state[3];
    VEC e = state[4], f = state[5], g = state[6], h = state[7];
    ROUNDS_8(0, WK_PADDING);
    ROUNDS_8(8, WK_PADDING);
    ROUNDS_8(16, WK_PADDING);
    ROUNDS_8(24, WK_PADDING);
    ROUNDS_8(32, WK_PADDING);
    ROUNDS_8(40, WK_PADDING);
    ROUNDS_8(48, WK_PADDING);
    ROUNDS_8(56, WK_PADDING);
    state[0] = ADD(state[0], a), state[1] = ADD(state[1], b), state[2] = ADD(state[2], c);
    state[3] = ADD(state[3], d), state[4] = ADD(state[4], e), state[5] = ADD(state[5], f);
    state[6] = ADD(state[6], g), state[7] = ADD(state[7], h);
}

/* Tree nodes from pairs of children, w[i] being word i of each pair.
 *
 * A tile is the state as it stands: word i of node j at tile[i * LANES + j]. The next level takes words from
 * there, so between the leaves and the top nothing is transposed and no byte order is changed. */
TARGET INLINE void hash_nodes(VEC w[16], uint32_t *tile) {
    VEC state[8];
    UNROLL for (unsigned i = 0; i < 8; i++) state[i] = BROADCAST(sha256_start[i]);
    compress_lanes(state, w);
    compress_padding(state);
    /* The two top bits of the node's last byte, which is the lowest of its last word. */
    state[7] = AND(state[7], BROADCAST(0xffffff3f));
    UNROLL for (unsigned i = 0; i < 8; i++) STORE(tile + i * LANES, state[i]);
}

static void unpack_tile(const uint32_t *tile, uint8_t *nodes) {
    for (unsigned lane = 0; lane < LANES; lane++)
        for (unsigned i = 0; i < 8; i++) store_be32(nodes + lane * NODE + 4 * i, tile[i * LANES + lane]);
}
