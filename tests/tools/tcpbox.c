#include "config.h" /* _GNU_SOURCE */

#include "tests/tools/tcpbox.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/tools/cli.h"

enum {
    ETHERNET_OCTETS = 14,
    IP4_MIN_OCTETS = 20,
    IP6_OCTETS = 40,
    TCP_MIN_OCTETS = 20,
    /* Offsets in a TCP header. */
    SEQ_AT = 4,
    ACK_AT = 8,
    HEAD_AT = 12,
    FLAGS_AT = 13,
    SUM_AT = 16,
    FIN = 0x01,
    SYN = 0x02,
    RST = 0x04,
    ACK = 0x10,
    OPTION_END = 0,
    OPTION_NONE = 1,
    OPTION_SACK = 5,
    NAME_OCTETS = 36, /* two addresses and two ports */
    CONNECTIONS = 256,
};

struct segment {
    uint8_t *tcp;
    size_t head;
    uint32_t seq, length; /* length: SYN and FIN count, as in the sequence */
    uint8_t flags;
    uint8_t name[NAME_OCTETS]; /* as direction 0 sees it */
};

struct held {
    uint8_t *frame;
    size_t length;
    uint32_t seq, span;
};

/* What one side of a connection sends. */
struct side {
    bool known;          /* a SYN came: the rest counts */
    uint32_t isn, shift; /* isn: as the sender chose it */
    uint32_t next;
    bool in_order;
    struct held held[TCPBOX_HELD];
    size_t held_count;
};

struct connection {
    uint8_t name[NAME_OCTETS];
    bool used;
    struct side sides[2];
};

struct tcpbox {
    struct tcpbox_settings settings[2];
    struct tcpbox_counters counters[2];
    struct connection connections[CONNECTIONS];
    size_t replace; /* the next one to go when all are used */
};

struct tcpbox *tcpbox_new(void)
{
    struct tcpbox *box = calloc(1, sizeof(*box));

    if (!box)
        cli_die("out of memory");
    return box;
}

static void side_clear(struct side *side)
{
    for (size_t i = 0; i < side->held_count; i++)
        free(side->held[i].frame);
    memset(side, 0, sizeof(*side));
}

void tcpbox_free(struct tcpbox *box)
{
    for (size_t i = 0; box && i < CONNECTIONS; i++) {
        side_clear(&box->connections[i].sides[0]);
        side_clear(&box->connections[i].sides[1]);
    }
    free(box);
}

struct tcpbox_settings *tcpbox_settings(struct tcpbox *box, unsigned direction)
{
    return &box->settings[direction];
}

const struct tcpbox_counters *tcpbox_counters(const struct tcpbox *box, unsigned direction)
{
    return &box->counters[direction];
}

/* ---------------------------------------------------------------- octets */

static uint32_t get32(const uint8_t *o)
{
    return (uint32_t)o[0] << 24 | (uint32_t)o[1] << 16 | (uint32_t)o[2] << 8 | o[3];
}

static uint16_t get16(const uint8_t *o)
{
    return (uint16_t)(o[0] << 8 | o[1]);
}

/* One's complement, RFC 1624 section 3: HC' = ~(~HC + ~m + m'). */
static void sum_change(uint8_t *sum, uint16_t from, uint16_t to)
{
    uint32_t s = (uint16_t)~get16(sum) + (uint32_t)(uint16_t)~from + to;

    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    sum[0] = (uint8_t)(~s >> 8);
    sum[1] = (uint8_t)~s;
}

/* Adds to the number at this place. A place that is odd from the header's start has its octets in
 * the other halves of the words. */
static void add32(uint8_t *tcp, size_t at, uint32_t shift)
{
    const size_t first = at & ~(size_t)1, last = (at + 4 + 1) & ~(size_t)1;
    uint32_t value = get32(tcp + at) + shift;
    uint8_t before[6];

    memcpy(before, tcp + first, last - first);
    for (unsigned i = 0; i < 4; i++)
        tcp[at + i] = (uint8_t)(value >> (24 - 8 * i));
    for (size_t i = 0; i < last - first; i += 2)
        sum_change(tcp + SUM_AT, get16(before + i), get16(tcp + first + i));
}

static void set_name(struct segment *s, const uint8_t *from, const uint8_t *to, size_t octets,
                     unsigned direction)
{
    const uint8_t *a = direction == 0 ? from : to, *b = direction == 0 ? to : from;

    memset(s->name, 0, sizeof(s->name));
    memcpy(s->name, a, octets);
    memcpy(s->name + 16, b, octets);
    memcpy(s->name + 32, s->tcp + (direction == 0 ? 0 : 2), 2);
    memcpy(s->name + 34, s->tcp + (direction == 0 ? 2 : 0), 2);
}

/* False: it is no TCP segment, or not a whole one. */
static bool parse(struct segment *s, uint8_t *frame, size_t length, unsigned direction)
{
    uint8_t *ip = frame + ETHERNET_OCTETS;
    size_t head = IP6_OCTETS, whole;
    bool six;

    if (length < ETHERNET_OCTETS + IP4_MIN_OCTETS)
        return false;
    six = get16(frame + 12) == 0x86dd;
    if (!six && (get16(frame + 12) != 0x0800 || (get16(ip + 6) & 0x3fff) != 0))
        return false;
    head = six ? IP6_OCTETS : (ip[0] & 0x0fu) * 4u;
    if (length < ETHERNET_OCTETS + head + TCP_MIN_OCTETS || ip[six ? 6 : 9] != IPPROTO_TCP)
        return false;
    whole = six ? head + get16(ip + 4) : get16(ip + 2);
    s->tcp = ip + head;
    s->head = (s->tcp[HEAD_AT] >> 4) * 4u;
    if (s->head < TCP_MIN_OCTETS || whole < head + s->head || whole > length - ETHERNET_OCTETS)
        return false;
    s->flags = s->tcp[FLAGS_AT];
    s->seq = get32(s->tcp + SEQ_AT);
    s->length =
        (uint32_t)(whole - head - s->head) + ((s->flags & SYN) != 0) + ((s->flags & FIN) != 0);
    set_name(s, ip + (six ? 8 : 12), ip + (six ? 24 : 16), six ? 16 : 4, direction);
    return true;
}

/* ---------------------------------------------------------------- connections */

static struct connection *find(struct tcpbox *box, const struct segment *s)
{
    struct connection *c, *place = NULL;

    for (size_t i = 0; i < CONNECTIONS; i++) {
        c = &box->connections[i];
        if (c->used && memcmp(c->name, s->name, NAME_OCTETS) == 0)
            return c;
        if (!c->used && !place)
            place = c;
    }
    if (!place) {
        place = &box->connections[box->replace];
        box->replace = (box->replace + 1) % CONNECTIONS;
    }
    side_clear(&place->sides[0]);
    side_clear(&place->sides[1]);
    memcpy(place->name, s->name, NAME_OCTETS);
    place->used = true;
    return place;
}

/* A SYN begins a direction anew, unless it is the one that came before. */
static void begin(struct tcpbox *box, struct side *side, const struct segment *s,
                  unsigned direction)
{
    const struct tcpbox_settings *settings = &box->settings[direction];
    uint32_t shift = settings->isn ? (uint32_t)settings->isn - s->seq : 0;

    if (side->known && side->isn == s->seq)
        return;
    side_clear(side);
    side->isn = s->seq;
    side->shift = shift;
    side->in_order = settings->in_order != 0;
    side->known = true;
    side->next = s->seq + shift;
}

/* The edges of RFC 2018's blocks are numbers of the other side. */
static void shift_sack(struct segment *s, uint32_t shift)
{
    size_t at = TCP_MIN_OCTETS;

    while (at < s->head && s->tcp[at] != OPTION_END) {
        size_t length = s->tcp[at] == OPTION_NONE ? 1 : at + 1 < s->head ? s->tcp[at + 1] : 0;

        if (length == 0 || at + length > s->head)
            return;
        for (size_t edge = at + 2; s->tcp[at] == OPTION_SACK && edge + 4 <= at + length; edge += 4)
            add32(s->tcp, edge, shift);
        at += length;
    }
}

static void shift(struct tcpbox *box, struct connection *c, struct segment *s, unsigned direction)
{
    const uint32_t own = c->sides[direction].shift, other = c->sides[1 - direction].shift;

    if (own != 0)
        add32(s->tcp, SEQ_AT, own);
    s->seq += own;
    if (other != 0 && (s->flags & ACK)) {
        add32(s->tcp, ACK_AT, 0 - other);
        shift_sack(s, 0 - other);
    }
    box->counters[direction].shifted += own != 0 || other != 0;
}

/* ---------------------------------------------------------------- order */

static void hold(struct side *side, struct tcpbox_counters *counters, const struct segment *s,
                 const uint8_t *frame, size_t length)
{
    struct held *held = &side->held[side->held_count];

    if (side->held_count == TCPBOX_HELD) {
        counters->dropped++;
        return;
    }
    held->frame = malloc(length);
    if (!held->frame)
        cli_die("out of memory");
    memcpy(held->frame, frame, length);
    held->length = length;
    held->seq = s->seq;
    held->span = s->length;
    side->held_count++;
    counters->held++;
    if (side->held_count > counters->held_max)
        counters->held_max = side->held_count;
}

static void advance(struct side *side, uint32_t seq, uint32_t span)
{
    if (span > 0 && (int32_t)(seq + span - side->next) > 0)
        side->next = seq + span;
}

/* All that waited and has no hole before it any more. */
static void let_go(struct side *side, tcpbox_out *out, void *data)
{
    for (size_t i = 0; i < side->held_count;) {
        struct held held = side->held[i];

        if ((int32_t)(held.seq - side->next) > 0) {
            i++;
            continue;
        }
        side->held[i] = side->held[--side->held_count];
        advance(side, held.seq, held.span);
        out(data, held.frame, held.length);
        free(held.frame);
        i = 0;
    }
}

void tcpbox_pass(struct tcpbox *box, unsigned direction, uint8_t *frame, size_t length,
                 tcpbox_out *out, void *data)
{
    struct connection *c;
    struct segment s;
    struct side *side;

    if (!parse(&s, frame, length, direction)) {
        out(data, frame, length);
        return;
    }
    c = find(box, &s);
    side = &c->sides[direction];
    if (s.flags & SYN)
        begin(box, side, &s, direction);
    shift(box, c, &s, direction);
    if (side->in_order && s.length > 0 && !(s.flags & RST) && (int32_t)(s.seq - side->next) > 0) {
        hold(side, &box->counters[direction], &s, frame, length);
        return;
    }
    if (side->known && !(s.flags & RST))
        advance(side, s.seq, s.length);
    out(data, frame, length);
    let_go(side, out, data);
}
