/*
 * Messages of another site from any octets: the first is the type. What is accepted keeps to its
 * bounds, and written again and read again it is the same.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "inner-relay/sitemessage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static void expect_same(uint8_t type, const struct site_message *first)
{
    static uint8_t memory[MESSAGE_MAX_OCTETS];
    struct site_message second;
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    sitemessage_put(&w, type, first);
    expect(!w.failed);
    reader_init(&r, memory, writer_length(&w));
    expect(sitemessage_get(type, &r, &second) == 0);
    expect(second.number == first->number && strcmp(second.reason, first->reason) == 0);
    expect(second.sdp_length == first->sdp_length && second.label == first->label);
    expect(memcmp(second.media, first->media, sizeof(first->media)) == 0);
    expect(memcmp(second.proof, first->proof, sizeof(first->proof)) == 0);
    expect(second.sdp_length == 0 || memcmp(second.sdp, first->sdp, second.sdp_length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct site_message message;
    struct reader r;

    if (size < 1)
        return 0;
    reader_init(&r, data + 1, size - 1);
    if (sitemessage_get(data[0], &r, &message) < 0)
        return 0;
    expect(memchr(message.reason, '\0', sizeof(message.reason)));
    expect(message.sdp_length <= MESSAGE_SDP_OCTETS && message.sdp_length < size);
    expect_same(data[0], &message);
    return 0;
}
