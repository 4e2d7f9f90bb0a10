/* Runs one call of the kernel in a process of its own, for a CPU that is emulated.
 *
 * Arguments: variant's name, then "ranges COUNT" or "roots BLOCKS COUNT". Standard input: for ranges COUNT offsets and
 * COUNT lengths (64 bits each) and the data; for roots the payload. Standard output: the digests or roots. */
#include "kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *rest_of_input(size_t *size) {
    size_t room = 1 << 20, got;
    uint8_t *data = malloc(room);
    *size = 0;
    while (data && (got = fread(data + *size, 1, room - *size, stdin)) > 0)
        if ((*size += got) == room) data = realloc(data, room *= 2);
    return data;
}

int main(int count, char **words) {
    int variant = 0;
    const char *name;
    while ((name = ptolemy_variant_name(variant)) && strcmp(name, words[1])) variant++;
    if (!name || !ptolemy_variant_available(variant)) return 3;
    long long number = atoll(words[count - 1]);
    uint8_t *out = malloc(32 * (size_t)number + 1);
    size_t size;
    if (!strcmp(words[2], "ranges")) {
        int64_t *ranges = malloc(16 * (size_t)number + 1);
        if (fread(ranges, 16, (size_t)number, stdin) != (size_t)number) return 4;
        uint8_t *data = rest_of_input(&size);
        ptolemy_sha256_ranges(variant, data, ranges, ranges + number, NULL, number, out);
    } else {
        uint8_t *data = rest_of_input(&size);
        ptolemy_subtree_roots(variant, data, atoll(words[3]), number, out);
    }
    return fwrite(out, 32, (size_t)number, stdout) == (size_t)number ? 0 : 5;
}
