/* 8 lanes of AVX2, for x86 machines without SHA instructions. */
#include "kernel.h"

#if X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx2")))
#define LANES 8
#define VEC __m256i
#define ADD(a, b) _mm256_add_epi32(a, b)
#define AND(a, b) _mm256_and_si256(a, b)
#define XOR(a, b) _mm256_xor_si256(a, b)
#define OR(a, b) _mm256_or_si256(a, b)
#define XOR3(a, b, c) XOR(XOR(a, b), c)
#define SHR(x, n) _mm256_srli_epi32(x, n)
#define ROTR(x, n) OR(_mm256_srli_epi32(x, n), _mm256_slli_epi32(x, 32 - (n)))
#define CHOOSE(e, f, g) XOR(g, AND(e, XOR(f, g)))
#define MAJORITY(a, b, c) OR(AND(a, b), AND(c, OR(a, b)))
#define BROADCAST(u32) _mm256_set1_epi32((int)(u32))
#define LOAD(ptr) _mm256_load_si256((const __m256i *)(ptr))
#define STORE(ptr, v) _mm256_store_si256((__m256i *)(ptr), v)
#include "lanes.h"

TARGET INLINE VEC load_words(const uint8_t *at) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)at), _mm256_broadcastsi128_si256(order));
}

/* Rows to columns: word j of r[i] becomes word i of r[j]. */
TARGET INLINE void transpose(VEC r[8]) {
    VEC t[8];
    UNROLL for (unsigned i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    UNROLL for (unsigned i = 0; i < 8; i += 4) {
        r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    UNROLL for (unsigned i = 0; i < 4; i++) {
        t[i] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
    }
    UNROLL for (unsigned i = 0; i < 8; i++) r[i] = t[i];
}

TARGET void avx2_run(uint32_t *state, const uint8_t *const *messages, size_t blocks) {
    VEC s[8];
    UNROLL for (unsigned i = 0; i < 8; i++) s[i] = LOAD(state + i * LANES);
    for (size_t at = 0; at < blocks * MESSAGE; at += MESSAGE) {
        VEC w[16];
        UNROLL for (unsigned lane = 0; lane < LANES; lane++) {
            w[lane] = load_words(messages[lane] + at);
            w[lane + 8] = load_words(messages[lane] + at + 32);
        }
        transpose(w);
        transpose(w + 8);
        compress_lanes(s, w);
    }
    UNROLL for (unsigned i = 0; i < 8; i++) STORE(state + i * LANES, s[i]);
}

TARGET static void leaf_tile(const uint8_t *payload, uint32_t *tile) {
    uint8_t leaves[4][4 * NODE];
    VEC w[16];
    for (unsigned i = 0; i < 4; i++) fr32_expand(payload + i * BLOCK, leaves[i]);
    UNROLL for (unsigned lane = 0; lane < LANES; lane++) {
        w[lane] = load_words(leaves[0] + lane * MESSAGE);
        w[lane + 8] = load_words(leaves[0] + lane * MESSAGE + 32);
    }
    transpose(w);
    transpose(w + 8);
    hash_nodes(w, tile);
}

/* Children 2 j and 2 j + 1 are lanes of the two tiles; their words become w[0..7] and w[8..15] of lane j. */
TARGET static void join_tiles(const uint32_t *left, const uint32_t *right, uint32_t *tile) {
    const VEC evens_first = _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0);
    VEC w[16];
    UNROLL for (unsigned i = 0; i < 8; i++) {
        VEC a = _mm256_permutevar8x32_epi32(LOAD(left + i * LANES), evens_first);
        VEC b = _mm256_permutevar8x32_epi32(LOAD(right + i * LANES), evens_first);
        w[i] = _mm256_permute2x128_si256(a, b, 0x20);
        w[i + 8] = _mm256_permute2x128_si256(a, b, 0x31);
    }
    hash_nodes(w, tile);
}

const struct tree avx2_tree = {LANES, 0, leaf_tile, join_tiles, unpack_tile};
#endif
