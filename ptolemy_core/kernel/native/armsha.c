/* ARMv8 SHA instructions, two messages interleaved as in shani.c. */
#include "kernel.h"

#if ARM
#include <arm_neon.h>

#if defined(__clang__)
#define TARGET __attribute__((target("sha2")))
#else
#define TARGET __attribute__((target("+crypto")))
#endif

struct stream {
    uint32x4_t abcd, efgh;
    uint32x4_t w[4];
};

TARGET INLINE void set_state(struct stream *s, const uint32_t state[8]) {
    s->abcd = vld1q_u32(state);
    s->efgh = vld1q_u32(state + 4);
}

TARGET INLINE void put_state(const struct stream *s, uint32_t state[8]) {
    vst1q_u32(state, s->abcd);
    vst1q_u32(state + 4, s->efgh);
}

TARGET INLINE void set_block(struct stream *s, const uint8_t *block) {
    for (unsigned i = 0; i < 4; i++) s->w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(block + 16 * i)));
}

/* Schedule words 4 q .. 4 q + 3, for q >= 4, in the place of those 16 before. */
TARGET INLINE void extend(struct stream *s, unsigned q) {
    uint32x4_t begun = vsha256su0q_u32(s->w[q % 4], s->w[(q + 1) % 4]);
    s->w[q % 4] = vsha256su1q_u32(begun, s->w[(q + 2) % 4], s->w[(q + 3) % 4]);
}

TARGET INLINE void four_rounds(struct stream *s, uint32x4_t wk) {
    uint32x4_t abcd = s->abcd;
    s->abcd = vsha256hq_u32(abcd, s->efgh, wk);
    s->efgh = vsha256h2q_u32(s->efgh, abcd, wk);
}

TARGET INLINE void add_state(struct stream *s, const struct stream *before) {
    s->abcd = vaddq_u32(s->abcd, before->abcd);
    s->efgh = vaddq_u32(s->efgh, before->efgh);
}

/* Spelled out for the reason given in shani.c. */
#define QUADS(QUAD) \
    QUAD(0) QUAD(1) QUAD(2) QUAD(3) QUAD(4) QUAD(5) QUAD(6) QUAD(7) \
    QUAD(8) QUAD(9) QUAD(10) QUAD(11) QUAD(12) QUAD(13) QUAD(14) QUAD(15)

TARGET INLINE void compress_1(struct stream *a) {
    const struct stream before = *a;
#define QUAD(q)                                                       \
    {                                                                 \
        if (q >= 4) extend(a, q);                                     \
        four_rounds(a, vaddq_u32(a->w[q % 4], vld1q_u32(sha256_k + 4 * q))); \
    }
    QUADS(QUAD)
#undef QUAD
    add_state(a, &before);
}

TARGET INLINE void compress_2(struct stream *a, struct stream *b) {
    const struct stream a_before = *a, b_before = *b;
#define QUAD(q)                                      \
    {                                                \
        if (q >= 4) extend(a, q), extend(b, q);      \
        uint32x4_t k = vld1q_u32(sha256_k + 4 * q);  \
        four_rounds(a, vaddq_u32(a->w[q % 4], k));   \
        four_rounds(b, vaddq_u32(b->w[q % 4], k));   \
    }
    QUADS(QUAD)
#undef QUAD
    add_state(a, &a_before);
    add_state(b, &b_before);
}

TARGET INLINE void compress_padding_2(struct stream *a, struct stream *b) {
    const struct stream a_before = *a, b_before = *b;
#define QUAD(q)                                               \
    {                                                         \
        uint32x4_t wk = vld1q_u32(sha256_padding_wk + 4 * q); \
        four_rounds(a, wk);                                   \
        four_rounds(b, wk);                                   \
    }
    QUADS(QUAD)
#undef QUAD
    add_state(a, &a_before);
    add_state(b, &b_before);
}

TARGET void arm_run_1(uint32_t *state, const uint8_t *const *messages, size_t blocks) {
    struct stream a;
    set_state(&a, state);
    for (size_t at = 0; at < blocks * MESSAGE; at += MESSAGE) {
        set_block(&a, messages[0] + at);
        compress_1(&a);
    }
    put_state(&a, state);
}

TARGET void arm_run_2(uint32_t *state, const uint8_t *const *messages, size_t blocks) {
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
    vst1q_u8(node, vrev32q_u8(vreinterpretq_u8_u32(s->abcd)));
    vst1q_u8(node + 16, vrev32q_u8(vreinterpretq_u8_u32(s->efgh)));
    node[31] &= 0x3f;
}

TARGET void arm_parents(const uint8_t *children, uint8_t *parents) {
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
