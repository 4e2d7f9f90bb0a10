/* Blocks of small files, many at once: the sections of a CAR, the links of a folder, and which of them are the same.
 * Only what is as most are is read here; at anything else a function stops, and its caller looks closer. */
#include <string.h>

#include "kernel.h"

enum {
    CID = 36,        /* bytes of a CIDv1, raw or dag-pb, sha2-256 */
    PREFIX = 4,      /* of them before the digest */
    VARINT = 9,      /* bytes of a varint, at most */
    LINK = 0x12, HASH = 0x0a, NAME = 0x12, TSIZE = 0x18, /* tags of dag-pb */
};

static const uint8_t raw_prefix[PREFIX] = {1, 0x55, 0x12, 0x20};
static const uint8_t dag_pb_prefix[PREFIX] = {1, 0x70, 0x12, 0x20};

static int is_usual_cid(const uint8_t *at) {
    return !memcmp(at, raw_prefix, PREFIX) || !memcmp(at, dag_pb_prefix, PREFIX);
}

/* Read a minimal varint of up to 9 bytes that ends before `end`; the offset after it, or -1. */
static int64_t read_varint(const uint8_t *data, int64_t at, int64_t end, int64_t *value) {
    uint64_t sum = 0;
    for (int i = 0; i < VARINT && at < end; i++) {
        uint8_t byte = data[at++];
        sum |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            if (i && !byte) return -1;
            *value = (int64_t)sum;
            return at;
        }
    }
    return -1;
}

/* Find consecutive complete sections from data + at on: with a usual CID, and at most `limit` bytes of CID and data.
 * starts[i] is a section's offset, contents[i] and ends[i] are those of its data. Returns their number. */
EXPORT int64_t ptolemy_car_sections(const uint8_t *data, int64_t at, int64_t size, int64_t limit, int64_t most,
                                    int64_t *starts, int64_t *contents, int64_t *ends) {
    int64_t count = 0;
    while (count < most) {
        int64_t length, start = read_varint(data, at, size, &length);
        if (start < 0 || length < CID || length > limit || length > size - start) break;
        if (!is_usual_cid(data + start)) break;
        starts[count] = at;
        contents[count] = start + CID;
        ends[count++] = at = start + length;
    }
    return count;
}

/* Whether a name can be that of an entry: not empty, `.` or `..`, without slash and NUL. */
static int is_name(const uint8_t *name, int64_t size) {
    if (!size || (name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.')))) return 0;
    return !memchr(name, '/', (size_t)size) && !memchr(name, 0, (size_t)size);
}

static int ascends(const uint8_t *left, int64_t left_size, const uint8_t *right, int64_t right_size) {
    int order = memcmp(left, right, (size_t)(left_size < right_size ? left_size : right_size));
    return order < 0 || (order == 0 && left_size < right_size);
}

/* Read consecutive links of a dag-pb node from its first byte on: each a usual CID, a Name and a Tsize, in canonical
 * form. cids[i], names[i] and name_ends[i] are offsets in the block.
 * Returns their number; facts[0] is the offset after them, facts[1] the number of links before the first whose name
 * can't be an entry's, facts[2] whether all names are in strictly ascending byte order. */
EXPORT int64_t ptolemy_dag_links(const uint8_t *block, int64_t size, int64_t most, int64_t *cids, int64_t *names,
                                 int64_t *name_ends, int64_t *tsizes, int64_t *facts) {
    int64_t count = 0, at = 0, named = -1;
    facts[2] = 1;
    while (count < most && at < size && block[at] == LINK) {
        int64_t length, start = read_varint(block, at + 1, size, &length);
        if (start < 0 || length > size - start || length < 2 + CID + 2) break;
        int64_t end = start + length, cid = start + 2, name, name_size, after;
        if (block[start] != HASH || block[start + 1] != CID || !is_usual_cid(block + cid)) break;
        if (block[cid + CID] != NAME) break;
        name = read_varint(block, cid + CID + 1, end, &name_size);
        if (name < 0 || name_size > end - name) break;
        after = name + name_size;
        if (after >= end || block[after] != TSIZE) break;
        if (read_varint(block, after + 1, end, tsizes + count) != end) break;
        if (named < 0 && !is_name(block + name, name_size)) named = count;
        if (count && !ascends(block + names[count - 1], name_ends[count - 1] - names[count - 1], block + name, name_size))
            facts[2] = 0;
        cids[count] = cid;
        names[count] = name;
        name_ends[count++] = after;
        at = end;
    }
    facts[0] = at;
    facts[1] = named < 0 ? count : named;
    return count;
}

/* How many of the sections that come next are the raw blocks, of at most `chunk` bytes, that the links name in turn,
 * each with its size as Tsize. */
EXPORT int64_t ptolemy_matching_leaves(const uint8_t *data, const int64_t *contents, const int64_t *ends,
                                       int64_t sections, const uint8_t *block, const int64_t *cids,
                                       const int64_t *tsizes, int64_t links, int64_t chunk) {
    int64_t count = 0;
    for (; count < sections && count < links; count++) {
        const uint8_t *cid = data + contents[count] - CID;
        int64_t length = ends[count] - contents[count];
        if (memcmp(cid, raw_prefix, PREFIX) || memcmp(cid, block + cids[count], CID)) break;
        if (length > chunk || length != tsizes[count]) break;
    }
    return count;
}
