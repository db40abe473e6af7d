#include "inner-relay/sdp.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/random.h"

/* What is read so far of the text. */
struct reading {
    struct sdp *sdp;
    struct sdp_media *media; /* that the line belongs to; NULL: the session */
    unsigned line;
    char *error;
    bool line_direction[SDP_MEDIA_MAX], line_rtcp[SDP_MEDIA_MAX];
    unsigned line_crypto[SDP_MEDIA_MAX];
    bool session_dtls, session_ice;
    uint32_t session_bandwidth;
};

static int __attribute__((format(printf, 3, 4)))
wrong_at(const struct reading *reading, unsigned line, const char *format, ...)
{
    char text[SDP_ERROR_SIZE - 20];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    snprintf(reading->error, SDP_ERROR_SIZE, "line %u: %s", line, text);
    return ERR_INVALID;
}

#define wrong(reading, ...) wrong_at(reading, (reading)->line, __VA_ARGS__)

/* ---------------------------------------------------------------- lines */

bool sdp_next_line(const char *text, size_t length, size_t *offset, struct sdp_line *line)
{
    const char *feed;

    if (*offset >= length)
        return false;
    feed = memchr(text + *offset, '\n', length - *offset);
    line->begin = *offset;
    line->next = feed ? (size_t)(feed - text) + 1 : length;
    line->end = feed ? line->next - 1 : length;
    if (feed && line->end > line->begin && text[line->end - 1] == '\r')
        line->end--;
    *offset = line->next;
    return true;
}

bool sdp_is_attribute(const struct words *line, const char *name)
{
    size_t length = strlen(name);

    return line->length >= 2 + length && memcmp(line->at, "a=", 2) == 0 &&
           memcmp(line->at + 2, name, length) == 0 &&
           (line->length == 2 + length || line->at[2 + length] == ':');
}

/* What stands behind "a=NAME:"; of no length where there is nothing. */
static struct words value_of(const struct words *line, const char *name)
{
    size_t behind = strlen("a=:") + strlen(name);
    struct words none = {line->at + line->length, 0};
    struct words value = {line->at + behind, line->length - behind};

    return line->length < behind ? none : value;
}

static bool is_read(const struct sdp_media *media)
{
    return media->rtp && media->port != 0;
}

/* ---------------------------------------------------------------- addresses */

/*
 * "IN IP4 192.0.2.1", for a group with "/TTL" behind. A host name is family 0: relays resolve no
 * names that strangers choose.
 */
static bool read_connection(struct words rest, struct addr *out)
{
    char text[ADDR_TEXT_SIZE];
    struct words net = words_next(&rest), type = words_next(&rest), where = words_next(&rest);
    struct words ip = words_until(&where, '/');

    memset(out, 0, sizeof(*out));
    if (!words_are(&net, "IN") || (!words_are(&type, "IP4") && !words_are(&type, "IP6")) ||
        ip.length == 0)
        return false;
    if (!words_copy(&ip, text, sizeof(text)) || addr_parse_ip(text, out) < 0)
        memset(out, 0, sizeof(*out));
    return true;
}

static int connection_line(struct reading *reading, const struct words *line)
{
    struct words value = {line->at + 2, line->length - 2};
    struct sdp_media *media = reading->media;
    bool *has = media ? &media->own_connection : &reading->sdp->has_connection;

    if (media && !is_read(media)) {
        *has = true;
        return 0;
    }
    if (*has)
        return wrong(reading, "a second c= line");
    *has = true;
    if (!read_connection(value, media ? &media->rtp_addr : &reading->sdp->connection))
        return wrong(reading, "c=IN IP4 ADDRESS or c=IN IP6 ADDRESS is expected");
    return 0;
}

/* RFC 3605: "5005", or "5005 IN IP4 192.0.2.1". */
static int rtcp_attribute(struct reading *reading, struct words value)
{
    struct sdp_media *media = reading->media;
    struct words port = words_next(&value), rest = value;
    uint64_t number;

    if (!words_number(&port, UINT16_MAX, &number) || number == 0)
        return wrong(reading, "a=rtcp: with a port from 1 to 65535 is expected");
    if (reading->line_rtcp[media - reading->sdp->media])
        return wrong(reading, "a second a=rtcp line");
    reading->line_rtcp[media - reading->sdp->media] = true;
    if (words_next(&rest).length && !read_connection(value, &media->rtcp_addr))
        return wrong(reading, "behind a=rtcp:PORT only IN IP4 ADDRESS or IN IP6 ADDRESS may stand");
    media->rtcp_addr.port = (uint16_t)number;
    return 0;
}

/* ---------------------------------------------------------------- attributes */

static int direction_attribute(struct reading *reading, const struct words *line)
{
    static const char *const names[] = {"sendrecv", "sendonly", "recvonly", "inactive"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!sdp_is_attribute(line, names[i]))
            continue;
        if (reading->media) {
            reading->media->direction = (enum sdp_direction)i;
            reading->line_direction[reading->media - reading->sdp->media] = true;
        } else {
            reading->sdp->direction = (enum sdp_direction)i;
        }
    }
    return 0;
}

/* Where the next a=crypto goes: of more than there is room for the unusable ones are let go. */
static struct sdes *crypto_slot(struct sdp_media *media, const struct sdes *newcomer)
{
    if (media->crypto_count < SDP_CRYPTO_MAX)
        return &media->crypto[media->crypto_count++];
    for (unsigned i = SDP_CRYPTO_MAX; i-- > 0 && !newcomer->unusable;) {
        if (!media->crypto[i].unusable)
            continue;
        memmove(&media->crypto[i], &media->crypto[i + 1],
                (SDP_CRYPTO_MAX - 1 - i) * sizeof(media->crypto[0]));
        return &media->crypto[SDP_CRYPTO_MAX - 1];
    }
    return NULL;
}

static int crypto_attribute(struct reading *reading, struct words value)
{
    struct sdes crypto, *slot;
    uint32_t tag;
    bool twice;

    if (reading->line_crypto[reading->media - reading->sdp->media]++ == SDP_CRYPTO_OFFERED)
        return wrong(reading, "more than %d a=crypto lines for one m= line", SDP_CRYPTO_OFFERED);
    if (sdes_read(value.at, value.length, &crypto) < 0)
        return wrong(reading, "a=crypto: with a tag of 1 to 9 digits is expected");
    tag = crypto.tag;
    twice = sdp_crypto(reading->media, tag) != NULL;
    slot = twice ? NULL : crypto_slot(reading->media, &crypto);
    if (slot)
        *slot = crypto;
    wipe(&crypto, sizeof(crypto));
    return twice ? wrong(reading, "a second a=crypto line with the tag %u", tag) : 0;
}

static int ssrc_attribute(struct reading *reading, struct words value)
{
    struct sdp_media *media = reading->media;
    struct words word = words_next(&value);
    uint64_t ssrc;

    if (!words_number(&word, UINT32_MAX, &ssrc))
        return wrong(reading, "a=ssrc: with a number from 0 to 4294967295 is expected");
    for (unsigned i = 0; i < media->ssrc_count; i++) {
        if (media->ssrc[i] == ssrc)
            return 0;
    }
    if (media->ssrc_count == SDP_SSRC_MAX)
        return wrong(reading, "more than %d SSRCs for one m= line", SDP_SSRC_MAX);
    media->ssrc[media->ssrc_count++] = (uint32_t)ssrc;
    return 0;
}

static int session_attribute(struct reading *reading, const struct words *line)
{
    struct words value;

    if (sdp_is_attribute(line, "fingerprint"))
        reading->session_dtls = true;
    if (sdp_is_attribute(line, "ice-ufrag"))
        reading->session_ice = true;
    if (sdp_is_attribute(line, "group")) {
        value = value_of(line, "group");
        if (words_skip(&value, "BUNDLE")) {
            words_next(&value);
            reading->sdp->bundle = reading->sdp->bundle || words_next(&value).length > 0;
        }
    }
    return direction_attribute(reading, line);
}

static int attribute_line(struct reading *reading, const struct words *line)
{
    struct sdp_media *media = reading->media;

    if (!media)
        return session_attribute(reading, line);
    if (!is_read(media))
        return 0;
    if (sdp_is_attribute(line, "crypto"))
        return crypto_attribute(reading, value_of(line, "crypto"));
    if (sdp_is_attribute(line, "rtcp"))
        return rtcp_attribute(reading, value_of(line, "rtcp"));
    if (sdp_is_attribute(line, "ssrc"))
        return ssrc_attribute(reading, value_of(line, "ssrc"));
    if (sdp_is_attribute(line, "rtcp-mux") || sdp_is_attribute(line, "rtcp-mux-only"))
        media->mux = true;
    if (sdp_is_attribute(line, "fingerprint"))
        media->dtls = true;
    if (sdp_is_attribute(line, "candidate") || sdp_is_attribute(line, "ice-ufrag"))
        media->ice = true;
    return direction_attribute(reading, line);
}

/* AS: kilobits, with all headers; TIAS: bits (RFC 3890). Other kinds are passed over. */
static int bandwidth_line(struct reading *reading, const struct words *line)
{
    struct words value = {line->at + 2, line->length - 2};
    struct words kind = words_until(&value, ':'), number = words_next(&value);
    uint32_t *out = reading->media ? &reading->media->bandwidth : &reading->session_bandwidth;
    uint64_t bits;

    if (!words_number(&number, (uint64_t)UINT32_MAX * 8, &bits))
        return 0;
    if (words_are(&kind, "AS"))
        bits = bits < UINT32_MAX / 125 ? bits * 1000 : (uint64_t)UINT32_MAX * 8;
    else if (!words_are(&kind, "TIAS"))
        return 0;
    if (bits / 8 > *out)
        *out = (uint32_t)(bits / 8);
    return 0;
}

/* ---------------------------------------------------------------- m= */

static bool is_rtp(const struct words *proto)
{
    struct words rest = *proto;

    return words_skip(&rest, "RTP/") || words_skip(&rest, "UDP/TLS/RTP/");
}

/* "5004", or "5004/1": several ports for one line were for layers on multicast. */
static bool read_port(struct words word, bool rtp, uint16_t *out)
{
    struct words port = words_until(&word, '/');
    uint64_t number, count;

    if (!words_number(&port, UINT16_MAX, &number))
        return false;
    if (rtp && number && word.length && (!words_number(&word, 1, &count) || count != 1))
        return false;
    *out = (uint16_t)number;
    return true;
}

static int media_line(struct reading *reading, const struct words *line, size_t begin)
{
    struct words rest = {line->at + 2, line->length - 2};
    struct sdp *sdp = reading->sdp;
    struct sdp_media *media;
    struct words port, proto;

    if (sdp->media_count == SDP_MEDIA_MAX)
        return wrong(reading, "more than %d m= lines", SDP_MEDIA_MAX);
    media = &sdp->media[sdp->media_count++];
    media->kind = words_next(&rest);
    port = words_next(&rest);
    media->proto = proto = words_next(&rest);
    media->line = reading->line;
    media->begin = begin;
    media->rtp = is_rtp(&proto);
    media->dtls = words_skip(&proto, "UDP/TLS/");
    reading->media = media;
    if (media->proto.length == 0 || words_next(&rest).length == 0)
        return wrong(reading, "m=KIND PORT PROTOCOL FORMAT is expected");
    if (!read_port(port, media->rtp, &media->port))
        return wrong(reading, "a port from 0 to 65535 is expected, and one only");
    return 0;
}

/* ---------------------------------------------------------------- the whole */

bool sdp_addr_is_any(const struct addr *addr)
{
    static const uint8_t zeros[16];

    return addr->family && memcmp(addr->ip, zeros, sizeof(zeros)) == 0;
}

static void find_rtcp(const struct reading *reading, struct sdp_media *media)
{
    uint16_t port = media->rtcp_addr.port;

    if (reading->line_rtcp[media - reading->sdp->media]) {
        if (!media->rtcp_addr.family)
            media->rtcp_addr = media->rtp_addr;
        media->rtcp_addr.port = port;
    } else if (media->port != UINT16_MAX && media->rtp_addr.family) {
        media->rtcp_addr = media->rtp_addr;
        media->rtcp_addr.port = (uint16_t)(media->port + 1);
    }
}

/* What the session says holds for each line that does not say otherwise. */
static int complete_media(struct reading *reading, struct sdp_media *media)
{
    const struct sdp *sdp = reading->sdp;

    if (!is_read(media))
        return 0;
    if (!media->own_connection && !sdp->has_connection)
        return wrong_at(reading, media->line, "no c= line for it, and none of the session");
    if (!media->own_connection)
        media->rtp_addr = sdp->connection;
    media->rtp_addr.port = media->port;
    find_rtcp(reading, media);
    if (!reading->line_direction[media - sdp->media])
        media->direction = sdp->direction;
    if (!media->bandwidth)
        media->bandwidth = reading->session_bandwidth;
    media->dtls = media->dtls || reading->session_dtls;
    media->ice = media->ice || reading->session_ice;
    media->held = sdp_addr_is_any(&media->rtp_addr) || media->direction == SDP_INACTIVE;
    return 0;
}

/* A parser that takes a CR, or an octet 0, for an end would see lines that are not here. */
static int check_octets(const struct reading *reading, const struct words *line)
{
    if (memchr(line->at, '\r', line->length) || memchr(line->at, '\0', line->length))
        return wrong(reading, "an octet 0, or a CR that is not at the end");
    if (line->length < 2 || line->at[1] != '=' || line->at[0] < 'a' || line->at[0] > 'z')
        return wrong(reading, "no line of SDP: a small letter and = are expected");
    return 0;
}

static int read_line(struct reading *reading, const struct words *line, size_t begin)
{
    if (check_octets(reading, line) < 0)
        return ERR_INVALID;
    if (reading->line == 1 && !words_are(line, "v=0"))
        return wrong(reading, "v=0 is expected");
    switch (line->at[0]) {
    case 'm':
        return media_line(reading, line, begin);
    case 'c':
        return connection_line(reading, line);
    case 'b':
        return bandwidth_line(reading, line);
    case 'a':
        return attribute_line(reading, line);
    default:
        return 0;
    }
}

static int read_lines(struct reading *reading)
{
    struct sdp *sdp = reading->sdp;
    struct sdp_line place;
    size_t offset = 0;
    bool blank = false;

    while (sdp_next_line(sdp->text, sdp->length, &offset, &place)) {
        struct words line = {sdp->text + place.begin, place.end - place.begin};

        if (reading->line++ == SDP_LINES_MAX)
            return wrong(reading, "more than %d lines", SDP_LINES_MAX);
        if (line.length == 0 && reading->line > 1) {
            blank = true;
            continue;
        }
        if (blank)
            return wrong(reading, "an empty line may stand at the end only");
        if (read_line(reading, &line, place.begin) < 0)
            return ERR_INVALID;
        *(reading->media ? &reading->media->end : &sdp->session_end) = place.next;
    }
    return 0;
}

int sdp_read(struct sdp *out, const char *text, size_t length, char error[SDP_ERROR_SIZE])
{
    struct reading reading = {.sdp = out, .error = error};

    memset(out, 0, sizeof(*out));
    out->text = text;
    out->length = length;
    if (length == 0 || length > SDP_MAX_OCTETS) {
        snprintf(error, SDP_ERROR_SIZE, length ? "more than %d octets" : "it is empty",
                 SDP_MAX_OCTETS);
        return length ? ERR_TOO_LONG : ERR_INVALID;
    }
    if (read_lines(&reading) < 0)
        return ERR_INVALID;
    for (unsigned i = 0; i < out->media_count; i++) {
        if (complete_media(&reading, &out->media[i]) < 0)
            return ERR_INVALID;
    }
    return 0;
}

const struct sdes *sdp_crypto(const struct sdp_media *media, uint32_t tag)
{
    for (unsigned i = 0; i < media->crypto_count; i++) {
        if (media->crypto[i].tag == tag)
            return &media->crypto[i];
    }
    return NULL;
}
