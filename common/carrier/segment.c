#include "common/carrier/segment.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/reader.h"
#include "common/base/writer.h"

enum {
    PROTOCOL_TCP = 6,
    IP4_DONT_FRAGMENT = 0x4000,
    IP4_FRAGMENT = 0x3fff, /* more of them, or not the first */
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_WINDOW_SCALE = 3,
    OPTION_SACK_PERMITTED = 4,
    OPTION_TIMESTAMPS = 8,
    MSS_OCTETS = 4,
    WINDOW_SCALE_OCTETS = 3,
    SACK_PERMITTED_OCTETS = 2,
    TIMESTAMPS_OCTETS = 10,
    IP4_SUM_AT = 10,
    TCP_SUM_AT = 16,
};

/* ---------------------------------------------------------------- check sums (RFC 1071) */

static uint32_t sum_add(uint32_t sum, const uint8_t *data, size_t length)
{
    uint64_t wide = sum;

    for (size_t i = 0; i + 1 < length; i += 2)
        wide += (uint32_t)data[i] << 8 | data[i + 1];
    if (length & 1)
        wide += (uint32_t)data[length - 1] << 8;
    while (wide >> 16)
        wide = (wide & 0xffff) + (wide >> 16);
    return (uint32_t)wide;
}

static uint16_t sum_end(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* With the pseudo header; 0 over a segment whose sum is right. */
static uint16_t sum_of_tcp(const struct addr *source, const struct addr *destination,
                           const uint8_t *tcp, size_t length)
{
    uint32_t sum = PROTOCOL_TCP + (uint32_t)length;

    sum = sum_add(sum, source->ip, addr_ip_length(source));
    sum = sum_add(sum, destination->ip, addr_ip_length(destination));
    return sum_end(sum_add(sum, tcp, length));
}

static void put_sum(uint8_t *at, uint16_t sum)
{
    at[0] = (uint8_t)(sum >> 8);
    at[1] = (uint8_t)sum;
}

/* ---------------------------------------------------------------- reading */

static int read_option(struct segment *segment, uint8_t kind, struct reader *r)
{
    size_t length = reader_left(r);

    switch (kind) {
    case OPTION_MSS:
        segment->mss = reader_u16(r);
        break;
    case OPTION_WINDOW_SCALE:
        segment->has_window_scale = true;
        segment->window_scale = reader_u8(r);
        if (segment->window_scale > SEGMENT_SCALE_MAX)
            segment->window_scale = SEGMENT_SCALE_MAX;
        break;
    case OPTION_SACK_PERMITTED:
        segment->has_sack_permitted = true;
        break;
    case OPTION_TIMESTAMPS:
        segment->has_timestamps = true;
        segment->timestamp = reader_u32(r);
        segment->timestamp_echo = reader_u32(r);
        break;
    default:
        (void)reader_take(r, length);
    }
    return reader_done(r) ? 0 : ERR_INVALID;
}

static int read_options(struct segment *segment, const uint8_t *options, size_t length)
{
    struct reader r, body;

    reader_init(&r, options, length);
    while (reader_left(&r) > 0) {
        uint8_t kind = reader_u8(&r), octets;
        const uint8_t *at;

        if (kind == OPTION_END)
            break;
        if (kind == OPTION_NOP)
            continue;
        octets = reader_u8(&r);
        at = octets >= 2 ? reader_take(&r, octets - 2u) : NULL;
        if (!at)
            return ERR_INVALID;
        reader_init(&body, at, octets - 2u);
        if (read_option(segment, kind, &body) < 0)
            return ERR_INVALID;
    }
    return 0;
}

int segment_read_tcp(struct segment *segment, const uint8_t *tcp, size_t length)
{
    size_t head;
    struct reader r;
    const uint8_t *options;

    reader_init(&r, tcp, length);
    segment->source.port = reader_u16(&r);
    segment->destination.port = reader_u16(&r);
    segment->sequence = reader_u32(&r);
    segment->ack = reader_u32(&r);
    head = (size_t)(reader_u8(&r) >> 4) * 4;
    segment->flags = reader_u8(&r);
    segment->window = reader_u16(&r);
    (void)reader_u32(&r); /* check sum, urgent pointer */
    if (r.failed)
        return ERR_TRUNCATED;
    if (head < SEGMENT_TCP_OCTETS)
        return ERR_INVALID;
    options = reader_take(&r, head - SEGMENT_TCP_OCTETS);
    if (!options)
        return ERR_TRUNCATED;
    segment->length = reader_left(&r);
    segment->data = reader_take(&r, segment->length);
    return read_options(segment, options, head - SEGMENT_TCP_OCTETS);
}

/* Sets *tcp and *left to what the IP header says that it holds. */
static int read_ip4(struct segment *segment, struct reader *r, const uint8_t **tcp, size_t *left)
{
    size_t head = (size_t)(reader_u8(r) & 0x0f) * 4, total;
    uint16_t fragment;
    uint8_t protocol;
    uint8_t ip[8] = {0};

    segment->traffic = reader_u8(r);
    total = reader_u16(r);
    (void)reader_u16(r); /* identification */
    fragment = reader_u16(r);
    segment->ttl = reader_u8(r);
    protocol = reader_u8(r);
    (void)reader_u16(r); /* check sum */
    reader_copy(r, ip, sizeof(ip));
    if (r->failed)
        return ERR_TRUNCATED;
    if (head < SEGMENT_IP4_OCTETS || total < head)
        return ERR_INVALID;
    if (fragment & IP4_FRAGMENT || protocol != PROTOCOL_TCP)
        return ERR_UNSUPPORTED;
    (void)reader_take(r, head - SEGMENT_IP4_OCTETS);
    *left = total - head;
    *tcp = reader_take(r, *left);
    segment->source = addr_from_ip4(ip, 0);
    segment->destination = addr_from_ip4(ip + 4, 0);
    return *tcp ? 0 : ERR_TRUNCATED;
}

static int read_ip6(struct segment *segment, struct reader *r, const uint8_t **tcp, size_t *left)
{
    uint32_t first = reader_u32(r);
    uint8_t next, ip[32] = {0};

    segment->traffic = (uint8_t)(first >> 20);
    *left = reader_u16(r);
    next = reader_u8(r);
    segment->ttl = reader_u8(r);
    reader_copy(r, ip, sizeof(ip));
    if (r->failed)
        return ERR_TRUNCATED;
    if (next != PROTOCOL_TCP)
        return ERR_UNSUPPORTED;
    *tcp = reader_take(r, *left);
    segment->source = addr_from_ip6(ip, 0);
    segment->destination = addr_from_ip6(ip + 16, 0);
    if (segment->source.family != 6 || segment->destination.family != 6)
        return ERR_UNSUPPORTED; /* IPv4-mapped addresses are on no wire */
    return *tcp ? 0 : ERR_TRUNCATED;
}

static int read_ip(struct segment *segment, const uint8_t *packet, size_t length,
                   const uint8_t **tcp, size_t *left)
{
    struct reader r;

    memset(segment, 0, sizeof(*segment));
    if (length == 0)
        return ERR_TRUNCATED;
    reader_init(&r, packet, length);
    switch (packet[0] >> 4) {
    case 4:
        return read_ip4(segment, &r, tcp, left);
    case 6:
        return read_ip6(segment, &r, tcp, left);
    default:
        return ERR_UNSUPPORTED;
    }
}

int segment_read(struct segment *segment, const uint8_t *packet, size_t length)
{
    const uint8_t *tcp = NULL;
    size_t left = 0;
    int result = read_ip(segment, packet, length, &tcp, &left);

    return result < 0 ? result : segment_read_tcp(segment, tcp, left);
}

bool segment_sums_hold(const uint8_t *packet, size_t length)
{
    struct segment segment;
    const uint8_t *tcp = NULL;
    size_t left = 0;

    if (segment_read(&segment, packet, length) < 0 ||
        read_ip(&segment, packet, length, &tcp, &left) < 0)
        return false;
    if (segment.source.family == 4 && sum_end(sum_add(0, packet, (size_t)(tcp - packet))) != 0)
        return false;
    return sum_of_tcp(&segment.source, &segment.destination, tcp, left) == 0;
}

/* ---------------------------------------------------------------- writing */

/* Each option is padded to words, as hosts do it. */
static size_t options_length(const struct segment *segment)
{
    bool syn = segment->flags & SEGMENT_SYN;

    return (syn && segment->mss ? 4u : 0u) + (syn && segment->has_window_scale ? 4u : 0u) +
           (syn && segment->has_sack_permitted ? 4u : 0u) +
           (segment->has_timestamps ? (size_t)SEGMENT_TIMESTAMP_OCTETS : 0u);
}

size_t segment_heads_length(const struct segment *segment)
{
    size_t ip = segment->source.family == 6 ? SEGMENT_IP6_OCTETS : SEGMENT_IP4_OCTETS;

    return ip + SEGMENT_TCP_OCTETS + options_length(segment);
}

static void put_option(struct writer *w, uint8_t nops, uint8_t kind, uint8_t octets)
{
    for (uint8_t i = 0; i < nops; i++)
        writer_u8(w, OPTION_NOP);
    writer_u8(w, kind);
    writer_u8(w, octets);
}

static void put_options(struct writer *w, const struct segment *segment)
{
    bool syn = segment->flags & SEGMENT_SYN;

    if (syn && segment->mss) {
        put_option(w, 0, OPTION_MSS, MSS_OCTETS);
        writer_u16(w, segment->mss);
    }
    if (syn && segment->has_sack_permitted)
        put_option(w, 2, OPTION_SACK_PERMITTED, SACK_PERMITTED_OCTETS);
    if (segment->has_timestamps) {
        put_option(w, 2, OPTION_TIMESTAMPS, TIMESTAMPS_OCTETS);
        writer_u32(w, segment->timestamp);
        writer_u32(w, segment->timestamp_echo);
    }
    if (syn && segment->has_window_scale) {
        put_option(w, 1, OPTION_WINDOW_SCALE, WINDOW_SCALE_OCTETS);
        writer_u8(w, segment->window_scale);
    }
}

static void put_ip4(struct writer *w, const struct segment *segment, size_t total)
{
    uint8_t *start = w->at;

    writer_u8(w, 0x45);
    writer_u8(w, segment->traffic);
    writer_u16(w, (uint16_t)total);
    writer_u16(w, 0);
    writer_u16(w, IP4_DONT_FRAGMENT);
    writer_u8(w, segment->ttl ? segment->ttl : SEGMENT_TTL);
    writer_u8(w, PROTOCOL_TCP);
    writer_u16(w, 0);
    writer_copy(w, segment->source.ip, 4);
    writer_copy(w, segment->destination.ip, 4);
    if (!w->failed)
        put_sum(start + IP4_SUM_AT, sum_end(sum_add(0, start, SEGMENT_IP4_OCTETS)));
}

static void put_ip6(struct writer *w, const struct segment *segment, size_t total)
{
    writer_u32(w, 6u << 28 | (uint32_t)segment->traffic << 20);
    writer_u16(w, (uint16_t)(total - SEGMENT_IP6_OCTETS));
    writer_u8(w, PROTOCOL_TCP);
    writer_u8(w, segment->ttl ? segment->ttl : SEGMENT_TTL);
    writer_copy(w, segment->source.ip, 16);
    writer_copy(w, segment->destination.ip, 16);
}

static void put_tcp(struct writer *w, const struct segment *segment)
{
    uint8_t *start = w->at;

    writer_u16(w, segment->source.port);
    writer_u16(w, segment->destination.port);
    writer_u32(w, segment->sequence);
    writer_u32(w, segment->ack);
    writer_u8(w, (uint8_t)((SEGMENT_TCP_OCTETS + options_length(segment)) / 4 << 4));
    writer_u8(w, segment->flags);
    writer_u16(w, segment->window);
    writer_u32(w, 0);
    put_options(w, segment);
    writer_copy(w, segment->data, segment->length);
    if (!w->failed)
        put_sum(start + TCP_SUM_AT, sum_of_tcp(&segment->source, &segment->destination, start,
                                               (size_t)(w->at - start)));
}

int segment_write(const struct segment *segment, uint8_t *out, size_t size)
{
    size_t total = segment_heads_length(segment) + segment->length;
    uint8_t family = segment->source.family;
    struct writer w;

    if ((family != 4 && family != 6) || segment->destination.family != family ||
        segment->window_scale > SEGMENT_SCALE_MAX)
        return ERR_INVALID;
    if (total > SEGMENT_MAX_OCTETS)
        return ERR_TOO_LONG;
    writer_init(&w, out, size);
    if (family == 4)
        put_ip4(&w, segment, total);
    else
        put_ip6(&w, segment, total);
    put_tcp(&w, segment);
    return w.failed ? ERR_TOO_LONG : (int)total;
}
