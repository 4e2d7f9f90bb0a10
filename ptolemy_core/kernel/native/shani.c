/* x86 SHA instructions. One message leaves the unit half idle, waiting for its own rounds: two are interleaved. */
#include "kernel.h"

#if X86
#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("sha,sse4.1,ssse3")))

/* One message: the state as the instructions want it, and the last 16 words of its schedule. */
struct stream {
    __m128i abef, cdgh;
    __m128i w[4];
};

TARGET INLINE __m128i swap_bytes(__m128i words) {
    return _mm_shuffle_epi8(words, _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
}

TARGET INLINE void set_state(struct stream *s, const uint32_t state[8]) {
    __m128i dcba = _mm_loadu_si128((const __m128i *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
    __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    s->abef = _mm_alignr_epi8(cdab, efgh, 8);
    s->cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
}

TARGET INLINE void get_state(const struct stream *s, __m128i *dcba, __m128i *hgfe) {
    __m128i feba = _mm_shuffle_epi32(s->abef, 0x1b);
    __m128i dchg = _mm_shuffle_epi32(s->cdgh, 0xb1);
    *dcba = _mm_blend_epi16(feba, dchg, 0xf0);
    *hgfe = _mm_alignr_epi8(dchg, feba, 8);
}

TARGET INLINE void set_block(struct stream *s, const uint8_t *block) {
    for (unsigned i = 0; i < 4; i++) s->w[i] = swap_bytes(_mm_loadu_si128((const __m128i *)(block + 16 * i)));
}

/* Schedule words 4 q .. 4 q + 3, for q >= 4, in the place of those 16 before. */
TARGET INLINE void extend(struct stream *s, unsigned q) {
    __m128i before = s->w[q % 4], last = s->w[(q + 3) % 4];
    __m128i w7 = _mm_alignr_epi8(last, s->w[(q + 2) % 4], 4);
    s->w[q % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(before, s->w[(q + 1) % 4]), w7), last);
}

/* Four rounds in two steps; callers put the other message's step between them. */
TARGET INLINE void first_two(struct stream *s, __m128i wk) {
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, wk);
}

TARGET INLINE void last_two(struct stream *s, __m128i wk) {
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(wk, 0x0e));
}

TARGET INLINE __m128i four(const uint32_t *table, unsigned q) {
    return _mm_load_si128((const __m128i *)(table + 4 * q));
}

/* The 16 quads of rounds are spelled out: left as a loop, a compiler may keep w[] in memory. */
#define QUADS(QUAD) \
    QUAD(0) QUAD(1) QUAD(2) QUAD(3) QUAD(4) QUAD(5) QUAD(6) QUAD(7) \
    QUAD(8) QUAD(9) QUAD(10) QUAD(11) QUAD(12) QUAD(13) QUAD(14) QUAD(15)

TARGET INLINE void add_state(struct stream *s, const struct stream *before) {
    s->abef = _mm_add_epi32(s->abef, before->abef);
    s->cdgh = _mm_add_epi32(s->cdgh, before->cdgh);
}

TARGET INLINE void compress_1(struct stream *a) {
    const struct stream before = *a;
#define QUAD(q)                                               \
    {                                                         \
        if (q >= 4) extend(a, q);                             \
        __m128i wk = _mm_add_epi32(a->w[q % 4], four(sha256_k, q)); \
        first_two(a, wk);                                     \
        last_two(a, wk);                                      \
    }
    QUADS(QUAD)
#undef QUAD
    add_state(a, &before);
}

TARGET INLINE void compress_2(struct stream *a, struct stream *b) {
    const struct stream a_before = *a, b_before = *b;
#define QUAD(q)                                                 \
    {                                                           \
        if (q >= 4) extend(a, q), extend(b, q);                 \
        __m128i k = four(sha256_k, q);                          \
        __m128i wk_a = _mm_add_epi32(a->w[q % 4], k);           \
        __m128i wk_b = _mm_add_epi32(b->w[q % 4], k);           \
        first_two(a, wk_a), first_two(b, wk_b);                 \
        last_two(a, wk_a), last_two(b, wk_b);                   \
    }
    QUADS(QUAD)
#undef QUAD
    add_state(a, &a_before);
    add_state(b, &b_before);
}

TARGET INLINE void compress_padding_2(struct stream *a, struct stream *b) {
    const struct stream a_before = *a, b_before = *b;
#define QUAD(q)                                        \
    {                                                  \
        __m128i wk = four(sha256_padding_wk, q);       \
        first_two(a, wk), first_two(b, wk);            \
        last_two(a, wk), last_two(b, wk);              \
    }
    QUADS(QUAD)
#undef QUAD
    add_state(a, &a_before);
    add_state(b, &b_before);
}

TARGET INLINE void put_state(const struct stream *s, uint32_t state[8]) {
    __m128i dcba, hgfe;
    get_state(s, &dcba, &hgfe);
    _mm_storeu_si128((__m128i *)state, dcba);
    _mm_storeu_si128((__m128i *)(state + 4), hgfe);
}

TARGET void shani_run_1(uint32_t *state, const uint8_t *const *messages, size_t blocks) {
    struct stream a;
    set_state(&a, state);
    for (size_t at = 0; at < blocks * MESSAGE; at += MESSAGE) {
        set_block(&a, messages[0] + at);
        compress_1(&a);
    }
    put_state(&a, state);
}

TARGET void shani_run_2(uint32_t *state, const uint8_t *const *messages, size_t blocks) {
    uint32_t words[2][8];
    struct stream a, b;
    for (unsigned i = 0; i < 8; i++) words[0][i] = state[2 * i], words[1][i] = state[2 * i + 1];
    set_state(&a, words[0]);
    set_state(&b, words[1]);
    for (size_t at = 0; at < blocks * MESSAGE; at += MESSAGE) {
        set_block(&a, messages[0] + at);
        set_block(&b, messages[1] + at);
        compress_2(&a, &b);
    }
    put_state(&a, words[0]);
    put_state(&b, words[1]);
    for (unsigned i = 0; i < 8; i++) state[2 * i] = words[0][i], state[2 * i + 1] = words[1][i];
}

TARGET INLINE void put_node(const struct stream *s, uint8_t *node) {
    const __m128i mask = _mm_set_epi32(0x3fffffff, -1, -1, -1);
    __m128i dcba, hgfe;
    get_state(s, &dcba, &hgfe);
    _mm_storeu_si128((__m128i *)node, swap_bytes(dcba));
    _mm_storeu_si128((__m128i *)(node + 16), _mm_and_si128(swap_bytes(hgfe), mask));
}

TARGET void shani_parents(const uint8_t *children, uint8_t *parents) {
    struct stream a, b;
    set_state(&a, sha256_start);
    set_state(&b, sha256_start);
    set_block(&a, children);
    set_block(&b, children + MESSAGE);
    compress_2(&a, &b);
    compress_padding_2(&a, &b);
    put_node(&a, parents);
    put_node(&b, parents + NODE);
}
#endif
