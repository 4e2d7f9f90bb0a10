/* SHA-256 of many byte ranges: which message goes into which lane, and when.
 *
 * Lanes advance together, so a run is as long as the shortest part left in any of them. A lane whose message is
 * finished takes the next one at once; when none is left and too few lanes have work, their messages move on, as
 * they are, to the next narrower rung. Ranges come longest first, which keeps that end short. */
#include "kernel.h"

#include <string.h>

/* A message in progress. Its whole blocks are read in place; the padded rest, 1 or 2 blocks, from `tail`. */
struct message {
    const uint8_t *at;
    size_t blocks; /* left to hash from `at` */
    int in_tail;
    uint64_t length;
    uint8_t *digest;
    uint32_t state[8];
    uint8_t tail[2 * MESSAGE];
};

struct work {
    const uint8_t *data;
    const int64_t *offsets, *lengths, *order;
    size_t next, count;
    uint8_t *digests;
    struct message pool[MAX_LANES];
    struct message *idle[MAX_LANES]; /* of the pool, free to use */
    unsigned idle_count;
    struct message *begun[MAX_LANES]; /* left by a wider rung */
    unsigned begun_count;
};

static void enter_tail(struct message *m) {
    size_t rest = m->length % MESSAGE;
    size_t size = rest < MESSAGE - 8 ? MESSAGE : 2 * MESSAGE; /* 0x80 and 8 bytes of length must fit */
    memcpy(m->tail, m->at, rest);
    memset(m->tail + rest, 0, size - rest);
    m->tail[rest] = 0x80;
    store_be32(m->tail + size - 8, (uint32_t)(m->length >> 29));
    store_be32(m->tail + size - 4, (uint32_t)(m->length << 3));
    m->at = m->tail;
    m->blocks = size / MESSAGE;
    m->in_tail = 1;
}

/* Sorted by length, ranges lie anywhere: ask the memory for the start of one that will be taken some turns later. */
static void prefetch(const struct work *work) {
    size_t later = work->next + MAX_LANES;
    if (later >= work->count) return;
    const uint8_t *start = work->data + work->offsets[work->order ? (size_t)work->order[later] : later];
    for (unsigned line = 0; line < 8; line++) __builtin_prefetch(start + line * MESSAGE);
}

/* The next message to hash, begun or new; NULL: there is none. */
static struct message *take(struct work *work) {
    if (work->begun_count) return work->begun[--work->begun_count];
    if (work->next == work->count) return NULL;
    size_t i = work->order ? (size_t)work->order[work->next] : work->next;
    work->next++;
    prefetch(work);
    struct message *m = work->idle[--work->idle_count];
    m->at = work->data + work->offsets[i];
    m->length = (uint64_t)work->lengths[i];
    m->blocks = m->length / MESSAGE;
    m->in_tail = 0;
    m->digest = work->digests + i * NODE;
    memcpy(m->state, sha256_start, sizeof m->state);
    if (!m->blocks) enter_tail(m);
    return m;
}

/* Account for `blocks` hashed; whether that was the last. */
static int advance(struct message *m, size_t blocks) {
    m->at += blocks * MESSAGE;
    m->blocks -= blocks;
    if (m->blocks) return 0;
    if (m->in_tail) return 1;
    enter_tail(m);
    return 0;
}

static void load_lane(const struct message *m, uint32_t *state, unsigned lane, unsigned lanes) {
    for (unsigned i = 0; i < 8; i++) state[i * lanes + lane] = m->state[i];
}

static void save_lane(struct message *m, const uint32_t *state, unsigned lane, unsigned lanes) {
    for (unsigned i = 0; i < 8; i++) m->state[i] = state[i * lanes + lane];
}

static void finish(struct work *work, struct message *m) {
    for (unsigned i = 0; i < 8; i++) store_be32(m->digest + 4 * i, m->state[i]);
    work->idle[work->idle_count++] = m;
}

/* Hash as long as this rung is worth using. */
static void climb(const struct rung *rung, struct work *work) {
    uint32_t state[8 * MAX_LANES] __attribute__((aligned(64))) = {0};
    const uint8_t *at[MAX_LANES];
    struct message *lane[MAX_LANES];
    unsigned active = 0;
    for (unsigned i = 0; i < rung->lanes; i++) {
        lane[i] = take(work);
        if (lane[i]) load_lane(lane[i], state, i, rung->lanes), active++;
    }
    while (active >= rung->worth) {
        size_t blocks = SIZE_MAX;
        const uint8_t *any = NULL;
        for (unsigned i = 0; i < rung->lanes; i++)
            if (lane[i] && lane[i]->blocks < blocks) blocks = lane[i]->blocks, any = lane[i]->at;
        for (unsigned i = 0; i < rung->lanes; i++) at[i] = lane[i] ? lane[i]->at : any; /* idle lanes repeat */
        rung->run(state, at, blocks);
        for (unsigned i = 0; i < rung->lanes; i++) {
            if (!lane[i] || !advance(lane[i], blocks)) continue;
            save_lane(lane[i], state, i, rung->lanes);
            finish(work, lane[i]);
            lane[i] = take(work);
            if (lane[i])
                load_lane(lane[i], state, i, rung->lanes);
            else
                active--;
        }
    }
    for (unsigned i = 0; i < rung->lanes; i++) {
        if (!lane[i]) continue;
        save_lane(lane[i], state, i, rung->lanes);
        work->begun[work->begun_count++] = lane[i];
    }
}

void hash_ranges(const struct engine *engine, const uint8_t *data, const int64_t *offsets, const int64_t *lengths,
                 const int64_t *order, size_t count, uint8_t *digests) {
    struct work work = {
        .data = data, .offsets = offsets, .lengths = lengths, .order = order, .count = count, .digests = digests,
    };
    for (unsigned i = 0; i < MAX_LANES; i++) work.idle[work.idle_count++] = &work.pool[i];
    for (unsigned i = 0; i < engine->rung_count; i++) climb(&engine->rungs[i], &work);
}
