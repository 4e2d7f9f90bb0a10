/* SHA-256's constants (FIPS 180-4), the Fr32 expansion of one block, and plain C for any machine. */
#include "kernel.h"

#include <string.h>

const uint32_t sha256_start[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

const uint32_t sha256_k[64] __attribute__((aligned(64))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

uint32_t sha256_padding_wk[64] __attribute__((aligned(64)));

INLINE uint32_t rotr(uint32_t x, unsigned n) { return x >> n | x << (32 - n); }

/* Words 16 to 63 of a message schedule from its first 16, then the round constants added to all of them. */
static void schedule(uint32_t w[64]) {
    for (unsigned i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        uint32_t sigma0 = rotr(x, 7) ^ rotr(x, 18) ^ x >> 3;
        uint32_t sigma1 = rotr(y, 17) ^ rotr(y, 19) ^ y >> 10;
        w[i] = w[i - 16] + sigma0 + w[i - 7] + sigma1;
    }
    for (unsigned i = 0; i < 64; i++) w[i] += sha256_k[i];
}

/* When the library is loaded: the one padding block behind every message of 64 bytes (512 bits). */
__attribute__((constructor)) static void prepare_padding(void) {
    sha256_padding_wk[0] = 0x80000000;
    sha256_padding_wk[15] = 8 * MESSAGE;
    schedule(sha256_padding_wk);
}

static void rounds(uint32_t state[8], const uint32_t wk[64]) {
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (unsigned i = 0; i < 64; i++) {
        uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + (g ^ (e & (f ^ g))) + wk[i];
        uint32_t t2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) | (c & (a | b)));
        h = g, g = f, f = e, e = d + t1;
        d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

static void compress(uint32_t state[8], const uint8_t message[MESSAGE]) {
    uint32_t w[64];
    for (unsigned i = 0; i < 16; i++) w[i] = load_be32(message + 4 * i);
    schedule(w);
    rounds(state, w);
}

void portable_run(uint32_t *state, const uint8_t *const *messages, size_t blocks) {
    for (size_t i = 0; i < blocks; i++) compress(state, messages[0] + i * MESSAGE);
}

void portable_parents(const uint8_t *children, uint8_t *parents) {
    for (unsigned parent = 0; parent < 2; parent++) {
        uint32_t state[8];
        memcpy(state, sha256_start, sizeof state);
        compress(state, children + parent * MESSAGE);
        rounds(state, sha256_padding_wk);
        for (unsigned i = 0; i < 8; i++) store_be32(parents + parent * NODE + 4 * i, state[i]);
        parents[parent * NODE + 31] &= 0x3f;
    }
}

/* Little-endian 64-bit access; a single instruction on the machines we build for. */
INLINE uint64_t load_le64(const uint8_t *at) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

INLINE void store_le64(uint8_t *at, uint64_t value) {
    for (unsigned i = 0; i < 8; i++) at[i] = (uint8_t)(value >> 8 * i);
}

void fr32_expand(const uint8_t payload[BLOCK], uint8_t leaves[4 * NODE]) {
    memcpy(leaves, payload, NODE);
    leaves[31] &= 0x3f;
    for (unsigned leaf = 1; leaf < 4; leaf++) {
        /* Leaf k starts at bit 254 k: in byte 32 k - 1, at its bit 8 - 2 k. */
        const uint8_t *from = payload + NODE * leaf - 1;
        uint8_t *to = leaves + NODE * leaf;
        unsigned shift = 8 - 2 * leaf;
        for (unsigned i = 0; i < 24; i += 8)
            store_le64(to + i, load_le64(from + i) >> shift | (uint64_t)from[i + 8] << (64 - shift));
        /* The top word: its 62 bits end within eight bytes from here, for leaf 1 and 2 one byte later. */
        uint64_t top = load_le64(from + 24) >> shift;
        if (leaf < 3) top |= (uint64_t)from[32] << (64 - shift);
        store_le64(to + 24, top & 0x3fffffffffffffff);
    }
}
