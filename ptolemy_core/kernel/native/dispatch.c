/* Which variants this CPU can run, and what each is made of. */
#include "kernel.h"

enum { INTERFACE = 8 };

#if X86
#include <cpuid.h>

/* Asked of the CPU itself: compilers differ in what their own helpers know. */
struct cpu {
    int avx2, avx512, sha;
};

static struct cpu ask(void) {
    unsigned a, b, c, d, features, extended;
    struct cpu cpu = {0, 0, 0};
    if (!__get_cpuid(1, &a, &b, &c, &d)) return cpu;
    features = c;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return cpu;
    extended = b;
    cpu.sha = (extended >> 29 & 1) && (features >> 19 & 1) && (features >> 9 & 1); /* SHA, SSE4.1, SSSE3 */
    if (!(features >> 27 & 1)) return cpu; /* OSXSAVE: xgetbv exists */
    /* The operating system must save the wide registers: bits 1-2 of XCR0 for AVX, 5-7 more for AVX-512. */
    unsigned saved, high;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    cpu.avx2 = (saved & 0x06) == 0x06 && (extended >> 5 & 1);
    cpu.avx512 = (saved & 0xe6) == 0xe6 && (extended >> 16 & 1) && (extended >> 30 & 1); /* F, BW */
    return cpu;
}

/* Asked once: in a virtual machine the question costs microseconds. Threads that ask at once get the same answer. */
static struct cpu detect(void) {
    static int known; /* 0: not yet; else 8, and a bit for each */
    int bits = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!bits) {
        struct cpu cpu = ask();
        bits = 8 | cpu.avx2 << 2 | cpu.avx512 << 1 | cpu.sha;
        __atomic_store_n(&known, bits, __ATOMIC_RELAXED);
    }
    return (struct cpu){bits >> 2 & 1, bits >> 1 & 1, bits & 1};
}
#elif ARM && defined(__linux__)
#include <sys/auxv.h>

static int has_arm_sha(void) { return (getauxval(AT_HWCAP) >> 6 & 1) != 0; } /* HWCAP_SHA2 */
#elif ARM
static int has_arm_sha(void) { return 1; } /* every 64-bit Apple machine has it */
#endif

enum variant {
#if X86
    AVX512,
    SHA_NI,
    AVX2,
#elif ARM
    ARM_SHA,
#endif
    PORTABLE,
    VARIANTS,
};

static const char *const names[VARIANTS] = {
#if X86
    [AVX512] = "avx512",
    [SHA_NI] = "sha-ni",
    [AVX2] = "avx2",
#elif ARM
    [ARM_SHA] = "arm-sha",
#endif
    [PORTABLE] = "portable",
};

/* {lanes, worth, run}. A wide rung takes one time however few of its lanes have work, so it is worth that time only
 * from some number on. Measured: against pairs by SHA-NI, 9 of AVX-512's 16; against plain C, 2 of any width. */
#define PORTABLE_RUNG {1, 1, portable_run}
#define SHA_NI_RUNGS {2, 2, shani_run_2}, {1, 1, shani_run_1}

static const struct engine portable = {NULL, portable_parents, {PORTABLE_RUNG}, 1};
#if X86
static const struct engine avx512_and_sha = {&avx512_tree, shani_parents, {{16, 9, avx512_run}, SHA_NI_RUNGS}, 3};
static const struct engine avx512_alone = {&avx512_tree, portable_parents, {{16, 2, avx512_run}, PORTABLE_RUNG}, 2};
static const struct engine sha_ni = {NULL, shani_parents, {SHA_NI_RUNGS}, 2};
static const struct engine avx2 = {&avx2_tree, portable_parents, {{8, 2, avx2_run}, PORTABLE_RUNG}, 2};
#elif ARM
static const struct engine arm_sha = {NULL, arm_parents, {{2, 2, arm_run_2}, {1, 1, arm_run_1}}, 2};
#endif

const struct engine *engine_of(int variant) {
#if X86
    struct cpu cpu = detect();
    if (variant == AVX512 && cpu.avx512) return cpu.sha ? &avx512_and_sha : &avx512_alone;
    if (variant == SHA_NI && cpu.sha) return &sha_ni;
    if (variant == AVX2 && cpu.avx2) return &avx2;
#elif ARM
    if (variant == ARM_SHA && has_arm_sha()) return &arm_sha;
#endif
    return variant == PORTABLE ? &portable : NULL;
}

int ptolemy_kernel_interface(void) { return INTERFACE; }

const char *ptolemy_variant_name(int variant) { return variant >= 0 && variant < VARIANTS ? names[variant] : NULL; }

int ptolemy_variant_available(int variant) { return engine_of(variant) != NULL; }

void ptolemy_sha256_ranges(int variant, const uint8_t *data, const int64_t *offsets, const int64_t *lengths,
                           const int64_t *order, int64_t count, uint8_t *digests) {
    hash_ranges(engine_of(variant), data, offsets, lengths, order, (size_t)count, digests);
}

void ptolemy_subtree_roots(int variant, const uint8_t *payload, int64_t blocks, int64_t count, uint8_t *roots) {
    const struct engine *engine = engine_of(variant);
    for (int64_t i = 0; i < count; i++)
        subtree_root(engine, payload + i * blocks * BLOCK, (size_t)blocks, roots + i * NODE);
}
