#include "tests/tools/packets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/reader.h"

static const struct hash_key hash_seed = {0x6d656469612d7265, 0x6c61792d74657374};

static size_t *slot_of(const struct packets *packets, const uint8_t *data, size_t length)
{
    size_t at = (size_t)hash_bytes(&hash_seed, data, length) & packets->mask;

    for (; packets->slots[at] != 0; at = (at + 1) & packets->mask) {
        const struct packet *p = &packets->list[packets->slots[at] - 1];

        if (p->length == length && (length == 0 || memcmp(p->data, data, length) == 0))
            break;
    }
    return &packets->slots[at];
}

static int read_all(struct packets *packets, FILE *file, size_t *length)
{
    size_t size = 0, got;

    *length = 0;
    do {
        uint8_t *larger = realloc(packets->memory, size + (1 << 20));

        if (!larger)
            return ERR_NOMEM;
        packets->memory = larger;
        size += 1 << 20;
        got = fread(larger + *length, 1, size - *length, file);
        *length += got;
    } while (*length == size);
    return ferror(file) ? ERR_SYSTEM : 0;
}

static size_t count_packets(struct reader r)
{
    size_t n = 0;

    while (reader_left(&r) > 0) {
        reader_take(&r, reader_u16(&r));
        n++;
    }
    return r.failed ? SIZE_MAX : n;
}

static int index_packets(struct packets *packets, struct reader r)
{
    size_t n = count_packets(r), slots = 16;

    if (n == SIZE_MAX)
        return ERR_TRUNCATED;
    while (slots < 2 * n)
        slots *= 2;
    packets->mask = slots - 1;
    packets->list = calloc(n ? n : 1, sizeof(*packets->list));
    packets->slots = calloc(slots, sizeof(*packets->slots));
    if (!packets->list || !packets->slots)
        return ERR_NOMEM;
    while (reader_left(&r) > 0) {
        struct packet *p = &packets->list[packets->count];
        size_t *slot;

        p->length = reader_u16(&r);
        p->data = reader_take(&r, p->length);
        slot = slot_of(packets, p->data, p->length);
        packets->count++;
        if (*slot == 0)
            *slot = packets->count;
        packets->list[*slot - 1].copies++;
    }
    return 0;
}

int packets_read(struct packets *packets, const char *path, const char **error)
{
    FILE *file = fopen(path, "rb");
    struct reader r;
    size_t length;
    int result;

    memset(packets, 0, sizeof(*packets));
    if (!file) {
        *error = strerror(errno);
        return ERR_SYSTEM;
    }
    result = read_all(packets, file, &length);
    fclose(file);
    if (result == 0) {
        reader_init(&r, packets->memory, length);
        result = index_packets(packets, r);
    }
    *error = err_text(result);
    if (result < 0)
        packets_free(packets);
    return result;
}

void packets_free(struct packets *packets)
{
    free(packets->memory);
    free(packets->list);
    free(packets->slots);
    memset(packets, 0, sizeof(*packets));
}

bool packets_take(struct packets *packets, const uint8_t *data, size_t length)
{
    size_t slot = *slot_of(packets, data, length);

    if (slot != 0)
        packets->list[slot - 1].taken = true;
    return slot != 0;
}

size_t packets_missing(const struct packets *packets)
{
    size_t missing = 0;

    for (size_t i = 0; i < packets->count; i++)
        missing += packets->list[i].copies > 0 && !packets->list[i].taken;
    return missing;
}

bool packets_append(FILE *file, const uint8_t *data, size_t length)
{
    const uint8_t head[2] = {(uint8_t)(length >> 8), (uint8_t)length};

    return fwrite(head, sizeof(head), 1, file) == 1 &&
           (length == 0 || fwrite(data, length, 1, file) == 1);
}
