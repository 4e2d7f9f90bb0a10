/* 16 lanes of AVX-512. Needs only the F and BW parts, so that the first machines with AVX-512 can use it. */
#include "kernel.h"

#if X86
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw")))
#define LANES 16
#define VEC __m512i
#define ADD(a, b) _mm512_add_epi32(a, b)
#define AND(a, b) _mm512_and_si512(a, b)
#define ROTR(x, n) _mm512_ror_epi32(x, n)
#define SHR(x, n) _mm512_srli_epi32(x, n)
#define BROADCAST(u32) _mm512_set1_epi32((int)(u32))
#define LOAD(ptr) _mm512_load_si512(ptr)
#define STORE(ptr, v) _mm512_store_si512(ptr, v)
/* Any function of three bits is one instruction; the number is its truth table. */
#define XOR3(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0x96)
#define CHOOSE(e, f, g) _mm512_ternarylogic_epi32(e, f, g, 0xca)
#define MAJORITY(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xe8)
#include "lanes.h"

/* Bytes ahead of a message's current block to ask the memory for: 16 streams are more than the hardware follows. */
#define PREFETCH 512

TARGET INLINE VEC swap_bytes(VEC words) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    return _mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(order));
}

/* Rows to columns: word j of r[i] becomes word i of r[j]. Pairs of words, of pairs, and of 128-bit parts swap. */
TARGET INLINE void transpose(VEC r[16]) {
    VEC t[16];
    UNROLL for (unsigned i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    UNROLL for (unsigned i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    UNROLL for (unsigned i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    UNROLL for (unsigned i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

TARGET void avx512_run(uint32_t *state, const uint8_t *const *messages, size_t blocks) {
    VEC s[8];
    UNROLL for (unsigned i = 0; i < 8; i++) s[i] = LOAD(state + i * LANES);
    for (size_t at = 0; at < blocks * MESSAGE; at += MESSAGE) {
        VEC w[16];
        UNROLL for (unsigned lane = 0; lane < LANES; lane++) {
            w[lane] = swap_bytes(_mm512_loadu_si512(messages[lane] + at));
            _mm_prefetch((const char *)messages[lane] + at + PREFETCH, _MM_HINT_T0);
        }
        transpose(w);
        compress_lanes(s, w);
    }
    UNROLL for (unsigned i = 0; i < 8; i++) STORE(state + i * LANES, s[i]);
}

/* 64 bytes: 32 from one place, 32 from another. */
TARGET INLINE VEC load_halves(const uint8_t *low, const uint8_t *high) {
    __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)low));
    return _mm512_inserti64x4(first, _mm256_loadu_si256((const __m256i *)high), 1);
}

/* Two Fr32 leaves, whose first bits are bit `shift` of the bytes `low` and `high`: each 64-bit word takes its bits
 * from there on, and the rest from the byte behind it. A shift by 64 gives 0. */
TARGET INLINE VEC fr32_pair(const uint8_t *low, const uint8_t *high, VEC shift) {
    const VEC mask = _mm512_set_epi64(0x3fffffffffffffff, -1, -1, -1, 0x3fffffffffffffff, -1, -1, -1);
    VEC head = _mm512_srlv_epi64(load_halves(low, high), shift);
    VEC rest = _mm512_sllv_epi64(load_halves(low + 8, high + 8), _mm512_sub_epi64(_mm512_set1_epi64(64), shift));
    return _mm512_and_si512(_mm512_or_si512(head, rest), mask);
}

/* Fr32 happens in the registers that the hash needs the leaves in anyway: it costs no pass over memory. */
TARGET static void leaf_tile(const uint8_t *payload, uint32_t *tile) {
    const VEC shift_01 = _mm512_set_epi64(6, 6, 6, 6, 0, 0, 0, 0);
    const VEC shift_23 = _mm512_set_epi64(2, 2, 2, 2, 4, 4, 4, 4);
    VEC w[16];
    UNROLL for (unsigned i = 0; i < 8; i++) {
        const uint8_t *block = payload + i * BLOCK;
        w[2 * i] = swap_bytes(fr32_pair(block, block + 31, shift_01));
        w[2 * i + 1] = swap_bytes(fr32_pair(block + 63, block + 95, shift_23));
    }
    transpose(w);
    hash_nodes(w, tile);
}

/* Children 2 j and 2 j + 1 are lanes of the two tiles; their words become w[0..7] and w[8..15] of lane j. */
TARGET static void join_tiles(const uint32_t *left, const uint32_t *right, uint32_t *tile) {
    const VEC even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const VEC odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    VEC w[16];
    UNROLL for (unsigned i = 0; i < 8; i++) {
        VEC a = LOAD(left + i * LANES), b = LOAD(right + i * LANES);
        w[i] = _mm512_permutex2var_epi32(a, even, b);
        w[i + 8] = _mm512_permutex2var_epi32(a, odd, b);
    }
    hash_nodes(w, tile);
}

/* The last 64 bytes that leaf_tile loads start 103 bytes into the last block: 32 of them, 8 more than it has. */
const struct tree avx512_tree = {LANES, 103 + 32 - BLOCK, leaf_tile, join_tiles, unpack_tile};
#endif
