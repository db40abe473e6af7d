/*
 * A captured packet from any octets. What is read points into them; and what of it can be written
 * is read again as the same, with right check sums.
 */
#include <stdlib.h>
#include <string.h>

#include "common/carrier/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static bool same(const struct segment *a, const struct segment *b)
{
    return addr_equal(&a->source, &b->source) && addr_equal(&a->destination, &b->destination) &&
           a->sequence == b->sequence && a->ack == b->ack && a->window == b->window &&
           a->flags == b->flags && a->traffic == b->traffic &&
           a->has_timestamps == b->has_timestamps && a->timestamp == b->timestamp &&
           a->timestamp_echo == b->timestamp_echo && a->length == b->length &&
           (a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

/* Options of more than 40 octets come of nothing that was read. */
static void write_again(const struct segment *segment)
{
    size_t size = segment_heads_length(segment) + segment->length;
    uint8_t *out = malloc(size);
    struct segment back;
    int length;

    expect(out != NULL);
    length = segment_write(segment, out, size);
    if (length >= 0) {
        expect((size_t)length == size);
        expect(segment_sums_hold(out, size));
        expect(segment_read(&back, out, size) == 0);
        expect(same(segment, &back));
    } else {
        expect(size > SEGMENT_MAX_OCTETS);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment segment;

    (void)segment_sums_hold(data, size);
    if (segment_read(&segment, data, size) == 0) {
        expect(segment.data >= data && segment.data + segment.length <= data + size);
        expect(segment.window_scale <= SEGMENT_SCALE_MAX);
        expect(segment.source.family == segment.destination.family);
        write_again(&segment);
    }
    memset(&segment, 0, sizeof(segment));
    if (segment_read_tcp(&segment, data, size) == 0)
        expect(segment.data >= data && segment.data + segment.length == data + size);
    return 0;
}
