#include "common/rtp/rtcp.h"

#include "common/base/reader.h"

static bool next_packet(struct reader *r)
{
    uint8_t first = reader_u8(r), type = reader_u8(r);
    size_t body = 4 * (size_t)reader_u16(r);

    return reader_take(r, body) && first >> 6 == 2 && type >= 192 && type <= 223;
}

bool rtcp_is_plain(const uint8_t *packet, size_t length)
{
    struct reader r;

    reader_init(&r, packet, length);
    if (length < 8)
        return false;
    while (reader_left(&r) > 0) {
        if (!next_packet(&r))
            return false;
    }
    return reader_done(&r);
}
