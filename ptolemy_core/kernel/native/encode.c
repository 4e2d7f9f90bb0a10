/* Writing what a CAR has besides file data, many blocks at once: the heads of leaves' sections, and whole nodes.
 * All comes from columns of the engine's own layout; a function stops at the first row that doesn't fit in. */
#include <string.h>

#include "nodes.h"

enum {
    CID = 36,    /* bytes of a CIDv1, raw or dag-pb, sha2-256 */
    PREFIX = 4,  /* of them before the digest */
    VARINT = 10, /* bytes of a varint, at most */
    LINK = 2 + 2 * VARINT + 2 + CID + 1 + VARINT + 1, /* bytes of a link without its name, at most */
};

static const uint8_t raw_prefix[PREFIX] = {1, 0x55, 0x12, 0x20};
static const uint8_t dag_pb_prefix[PREFIX] = {1, 0x70, 0x12, 0x20};

static int64_t varint_length(uint64_t value) {
    int64_t length = 1;
    while (value >>= 7) length++;
    return length;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value) {
    for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put(uint8_t *at, const void *bytes, int64_t size) {
    memcpy(at, bytes, (size_t)size);
    return at + size;
}

/* Write length and CID before the bytes of leaves, which begin at data + begins[i]. Returns how many were written:
 * less than `count` if the next head isn't inside the data. */
EXPORT int64_t ptolemy_put_heads(uint8_t *data, int64_t size, const int64_t *begins, const int64_t *sizes,
                                 const uint8_t *digests, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (sizes[i] < 0 || begins[i] > size) return i;
        uint64_t section = (uint64_t)sizes[i] + CID;
        int64_t head = varint_length(section) + CID;
        if (begins[i] < head) return i;
        uint8_t *at = put_varint(data + begins[i] - head, section);
        at = put(at, raw_prefix, PREFIX);
        put(at, digests + i * NODE, NODE);
    }
    return count;
}

/* Copy pieces of `from`, piece i from ends[i - 1] to ends[i], to offsets places[i] of `to`; of a piece that is only
 * partly inside `to`, that part. */
EXPORT void ptolemy_copy_pieces(uint8_t *to, int64_t size, const int64_t *places, const uint8_t *from,
                                const int64_t *ends, int64_t count) {
    for (int64_t i = 0, start = 0; i < count; start = ends[i++]) {
        int64_t low = places[i] < 0 ? -places[i] : 0, high = ends[i] - start;
        if (high > size - places[i]) high = size - places[i];
        if (low < high) memcpy(to + places[i] + low, from + start + low, (size_t)(high - low));
    }
}

/* Write link j at `at`; NULL if it doesn't fit before `end`. */
static uint8_t *put_link(uint8_t *at, const uint8_t *end, const struct nodes *nodes, int64_t j) {
    int64_t target = nodes->targets[j], begin = j ? nodes->name_ends[j - 1] : 0;
    int64_t name = nodes->name_ends[j] - begin;
    if (target < 0 || target >= nodes->blocks || name < 0 || end - at < LINK + name) return NULL;
    uint64_t tsize = (uint64_t)nodes->tsizes[j];
    int64_t body = 2 + CID + 1 + varint_length((uint64_t)name) + name + 1 + varint_length(tsize);
    *at++ = 0x12; /* PBNode.Links */
    at = put_varint(at, (uint64_t)body);
    *at++ = 0x0a; /* Hash */
    *at++ = CID;
    at = put(at, nodes->target_kinds[j] == LEAF ? raw_prefix : dag_pb_prefix, PREFIX);
    at = put(at, nodes->digests + target * NODE, NODE);
    *at++ = 0x12; /* Name */
    at = put_varint(at, (uint64_t)name);
    at = put(at, nodes->names + begin, name);
    *at++ = 0x18; /* Tsize */
    return put_varint(at, tsize);
}

static uint8_t *put_file_message(uint8_t *at, const uint8_t *end, const struct nodes *nodes, int64_t low, int64_t high) {
    uint64_t total = 0;
    int64_t size = 3;
    for (int64_t j = low; j < high; j++) {
        uint64_t length = (uint64_t)nodes->lengths[j];
        total += length;
        size += 1 + varint_length(length);
    }
    size += varint_length(total);
    if (end - at < size + 1 + VARINT) return NULL;
    *at++ = 0x0a; /* PBNode.Data */
    at = put_varint(at, (uint64_t)size);
    at = put(at, "\x08\x02\x18", 3); /* Type: File; filesize */
    at = put_varint(at, total);
    for (int64_t j = low; j < high; j++) {
        *at++ = 0x20; /* blocksizes */
        at = put_varint(at, (uint64_t)nodes->lengths[j]);
    }
    return at;
}

static int digit(uint8_t text) {
    if (text >= '0' && text <= '9') return text - '0';
    return text >= 'A' && text <= 'F' ? text - 'A' + 10 : -1;
}

static uint8_t *put_hamt_message(uint8_t *at, const uint8_t *end, const struct nodes *nodes, int64_t low, int64_t high) {
    uint8_t bits[32] = {0};
    int64_t most = -1;
    for (int64_t j = low; j < high; j++) {
        int64_t begin = j ? nodes->name_ends[j - 1] : 0;
        if (nodes->name_ends[j] - begin < 2) return NULL;
        int upper = digit(nodes->names[begin]), lower = digit(nodes->names[begin + 1]);
        if (upper < 0 || lower < 0) return NULL;
        int64_t slot = upper << 4 | lower;
        bits[31 - slot / 8] |= (uint8_t)(1 << slot % 8);
        if (slot > most) most = slot;
    }
    int64_t field = most / 8 + (most >= 0), size = 4 + field + 5;
    if (end - at < 2 + size) return NULL;
    *at++ = 0x0a; /* PBNode.Data */
    *at++ = (uint8_t)size;
    at = put(at, "\x08\x05\x12", 3); /* Type: HAMTShard; Data: the bits of the slots in use, big-endian */
    *at++ = (uint8_t)field;
    at = put(at, bits + 32 - field, field);
    return put(at, "\x28\x22\x30\x80\x02", 5); /* hashType murmur3-x64-64, fanout 256 */
}

static uint8_t *put_message(uint8_t *at, const uint8_t *end, const struct nodes *nodes, int64_t i) {
    int64_t low = nodes->edges[i], high = nodes->edges[i + 1];
    switch (nodes->kinds[i]) {
    case FILE_NODE: return put_file_message(at, end, nodes, low, high);
    case HAMT: return put_hamt_message(at, end, nodes, low, high);
    case DIRECTORY: return end - at < 4 ? NULL : put(at, "\x0a\x02\x08\x01", 4);
    default: return NULL;
    }
}

int64_t encode_nodes(const struct engine *engine, const struct nodes *nodes, uint8_t *out, int64_t room, int64_t *ends) {
    const uint8_t *end = out + room;
    uint8_t *at = out;
    for (int64_t i = 0; i < nodes->count; i++) {
        int64_t number = nodes->numbers[i];
        if (number < 0 || number >= nodes->blocks) return i;
        int64_t size = nodes->sizes[i];
        if (size < 0 || size > end - at - VARINT - CID) return i;
        at = put_varint(at, (uint64_t)(size + CID));
        at = put(at, dag_pb_prefix, PREFIX);
        uint8_t *block = at + NODE, *next = block;
        for (int64_t j = nodes->edges[i]; next && j < nodes->edges[i + 1]; j++) next = put_link(next, end, nodes, j);
        if (next) next = put_message(next, end, nodes, i);
        if (!next || next - block != size) return i;
        const int64_t begin = 0;
        hash_ranges(engine, block, &begin, &size, NULL, 1, nodes->digests + number * NODE);
        memcpy(at, nodes->digests + number * NODE, NODE);
        at = next;
        ends[i] = at - out;
    }
    return nodes->count;
}

EXPORT int64_t ptolemy_encode_nodes(int variant, const struct nodes *nodes, uint8_t *out, int64_t room, int64_t *ends) {
    return encode_nodes(engine_of(variant), nodes, out, room, ends);
}
