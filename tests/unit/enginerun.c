#include "tests/unit/enginerun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/protocol.h"
#include "common/srtp/srtp.h"
#include "tests/unit/reference.h"

enum {
    LANES_MAX = 3, /* evp, libsrtp2, and evp with authentication keys alone */
    STREAMS = 4,
    WINDOW = 1024,
    HALF_TURN = 1 << 15,
    TURN = 1 << 16,
    SEARCH_TURNS = 16, /* ROCs that a stream without an index looks for */
    OLD_PACKETS = 400, /* how long an old key lives beside the new one */
    LOST_MAX = 4000,   /* packets in a row that a search may miss */
    LOST_UNTOLD = 200, /* after so many, a stream that cannot be found is told its index */
    FORGERIES = 11,
    NOBODYS_SSRC = 8, /* a bit; the lowest bits of a stream's SSRC are its number */
};

#define RTP_LIMIT  ((uint64_t)1 << 48)
#define RTCP_LIMIT ((uint64_t)1 << 31)

/* What an index may be: true numbers, no estimate, no bitmap. */
struct oracle {
    bool started, hinted, floored;
    uint64_t highest, floor; /* floored: nothing up to the floor may come again */
    uint64_t seen[WINDOW];   /* index + 1, at the index modulo the window */
};

/* One SSRC under one key. */
struct line {
    struct oracle rtp, rtcp;
    uint64_t next, next_rtcp; /* of the sender */
    unsigned lost;            /* packets in a row that no index was found for */
    struct srtp_index index[LANES_MAX];
};

struct key {
    struct srtp_key key;
    struct reference_keys rtp, rtcp;
    struct srtp_session *session[LANES_MAX];
    uint64_t left;
    struct line line[STREAMS];
};

struct packet {
    uint8_t octets[PACKET_MAX_OCTETS];
    size_t length;
    bool rtcp;
};

struct enginerun {
    const struct suite *suite;
    uint64_t seed, random, number;
    struct srtp_engine *engine[LANES_MAX];
    unsigned lanes;
    uint32_t ssrc[STREAMS];
    struct key *key, *old;
    unsigned old_left;
    struct enginerun_counts counts;
    char failure[256];
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t draw(struct enginerun *run)
{
    return mix(run->random += 0x9e3779b97f4a7c15u);
}

static uint64_t below(struct enginerun *run, uint64_t limit)
{
    return draw(run) % limit;
}

static bool fail(struct enginerun *run, const char *what, const char *detail)
{
    snprintf(run->failure, sizeof(run->failure), "%s, seed %llu, packet %llu: %s%s%s",
             run->suite->name, (unsigned long long)run->seed, (unsigned long long)run->number, what,
             *detail ? ": " : "", detail);
    return false;
}

/* ------------------------------------------------------------ the oracle */

enum due { DUE_ACCEPT, DUE_REPLAY, DUE_AUTH_FAIL, DUE_REFUSE, DUE_EITHER };

static int64_t distance(uint64_t index, uint64_t from)
{
    return (int64_t)index - (int64_t)from;
}

static bool oracle_has(const struct oracle *oracle, uint64_t index)
{
    return oracle->seen[index % WINDOW] == index + 1;
}

static bool is_stale(const struct oracle *oracle, uint64_t index)
{
    return index + WINDOW <= oracle->highest || oracle_has(oracle, index) ||
           (oracle->floored && index <= oracle->floor);
}

/* Without an index only ROC 0 is certain; after re-keying that of the old key, too. */
static enum due due_of_first(const struct oracle *oracle, uint64_t index)
{
    int64_t way = distance(index, oracle->highest);

    if (index < TURN)
        return DUE_ACCEPT;
    if (!oracle->hinted)
        return index < (uint64_t)SEARCH_TURNS * TURN ? DUE_EITHER : DUE_AUTH_FAIL;
    if (oracle->highest >= RTP_LIMIT - HALF_TURN && index >= RTP_LIMIT - TURN)
        return DUE_ACCEPT; /* there is no ROC above the last that it could have been */
    if (llabs(way) == HALF_TURN)
        return DUE_EITHER;
    return llabs(way) < HALF_TURN ? DUE_ACCEPT : DUE_AUTH_FAIL;
}

static enum due due_rtp(const struct oracle *oracle, uint64_t index)
{
    int64_t way = distance(index, oracle->highest);

    if (!oracle->started)
        return due_of_first(oracle, index);
    if (llabs(way) < HALF_TURN)
        return is_stale(oracle, index) ? DUE_REPLAY : DUE_ACCEPT;
    if (oracle->highest < HALF_TURN) /* there is no ROC below 0 that it could have been */
        return index < TURN ? DUE_ACCEPT : index < 2 * TURN ? DUE_EITHER : DUE_REFUSE;
    return way > 0 && way <= HALF_TURN + TURN ? DUE_EITHER : DUE_REFUSE;
}

static enum due due_rtcp(const struct oracle *oracle, uint64_t index)
{
    return oracle->started && is_stale(oracle, index) ? DUE_REPLAY : DUE_ACCEPT;
}

static void oracle_add(struct oracle *oracle, uint64_t index)
{
    if (!oracle->started || index > oracle->highest)
        oracle->highest = index;
    oracle->started = true;
    oracle->hinted = false;
    oracle->seen[index % WINDOW] = index + 1;
}

static void oracle_resume(struct oracle *oracle, uint64_t highest)
{
    memset(oracle, 0, sizeof(*oracle));
    oracle->started = oracle->floored = true;
    oracle->highest = oracle->floor = highest;
}

static void oracle_rekey(struct oracle *oracle, const struct oracle *old)
{
    memset(oracle, 0, sizeof(*oracle));
    oracle->hinted = old->started || old->hinted;
    oracle->highest = old->highest;
}

static bool is_due(enum due due, enum verdict verdict)
{
    switch (due) {
    case DUE_ACCEPT:
        return verdict == VERDICT_ACCEPTED;
    case DUE_REPLAY:
        return verdict == VERDICT_REPLAY;
    case DUE_AUTH_FAIL:
        return verdict == VERDICT_AUTH_FAIL;
    case DUE_REFUSE:
        return verdict == VERDICT_AUTH_FAIL || verdict == VERDICT_REPLAY;
    case DUE_EITHER:
        break;
    }
    return verdict == VERDICT_ACCEPTED || verdict == VERDICT_AUTH_FAIL || verdict == VERDICT_REPLAY;
}

/* ------------------------------------------------------------ keys */

static void key_free(struct key *key)
{
    for (unsigned i = 0; key && i < LANES_MAX; i++)
        srtp_session_free(key->session[i]);
    free(key);
}

/* The lane of authentication keys gets them from the first one's session. */
static bool open_lane(struct enginerun *run, struct key *key, unsigned lane)
{
    struct srtp_session *session = NULL;
    struct srtp_key copy;
    bool same = srtp_session_new(run->engine[0], &session, run->suite, &key->key) == 0 &&
                srtp_session_key(session, lane == 2 ? SRTP_KEY_AUTH : SRTP_KEY_MASTER, &copy) == 0;

    srtp_session_free(session);
    session = NULL;
    if (!same || srtp_session_new(run->engine[lane], &session, run->suite, &copy) < 0)
        return false;
    srtp_session_free(key->session[lane]);
    key->session[lane] = session;
    return true;
}

static bool open_sessions(struct enginerun *run, struct key *key)
{
    for (unsigned i = 0; i < run->lanes; i++) {
        if (!open_lane(run, key, i))
            return false;
    }
    return true;
}

static struct key *key_new(struct enginerun *run)
{
    static const size_t mki[] = {0, 0, 1, 4, SRTP_MKI_MAX_OCTETS};
    struct key *key = calloc(1, sizeof(*key));
    uint8_t material[SUITE_KEY_MAX_OCTETS];

    if (!key)
        return NULL;
    for (size_t i = 0; i < sizeof(material); i++)
        material[i] = (uint8_t)draw(run);
    srtp_key_master(&key->key, material, suite_material_octets(run->suite));
    key->key.mki_length = mki[below(run, sizeof(mki) / sizeof(mki[0]))];
    for (size_t i = 0; i < key->key.mki_length; i++)
        key->key.mki[i] = (uint8_t)draw(run);
    if (below(run, 4) == 0)
        key->key.lifetime = below(run, 3000);
    key->left = key->key.lifetime;
    reference_keys(run->suite, material, false, &key->rtp);
    reference_keys(run->suite, material, true, &key->rtcp);
    if (open_sessions(run, key))
        return key;
    key_free(key);
    return NULL;
}

/* ------------------------------------------------------------ where streams begin */

static uint64_t draw_start(struct enginerun *run)
{
    static const uint64_t rocs[] = {0, 0, 1, 2, 9, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    static const uint64_t ends[] = {0, 0x7f00, 0x8000, 0xfc00, 0xff80};
    uint64_t roc = rocs[below(run, sizeof(rocs) / sizeof(rocs[0]))];
    uint64_t sequence = ends[below(run, sizeof(ends) / sizeof(ends[0]))] + below(run, 128);

    return roc << 16 | sequence;
}

static uint64_t draw_start_rtcp(struct enginerun *run)
{
    static const uint64_t starts[] = {0, 1, 1000, 0x3fffff00, RTCP_LIMIT - 300};

    return starts[below(run, sizeof(starts) / sizeof(starts[0]))] + below(run, 128);
}

/* Another host, or an earlier life, says where the stream stands; the sender is just behind it. */
static void line_tell(struct enginerun *run, struct line *line, uint64_t highest, uint64_t rtcp)
{
    for (unsigned i = 0; i < run->lanes; i++) {
        index_resume(&line->index[i], highest);
        index_resume_rtcp(&line->index[i], (uint32_t)rtcp);
    }
    oracle_resume(&line->rtp, highest);
    oracle_resume(&line->rtcp, rtcp);
    line->next = highest + 1;
    line->next_rtcp = rtcp + 1;
    line->lost = 0;
    run->counts.moves++;
}

/* Somebody says where the stream stood under an older key. It counts until the first packet. */
static void line_hint(struct enginerun *run, struct line *line, uint64_t highest)
{
    for (unsigned i = 0; i < run->lanes; i++)
        index_hint(&line->index[i], highest);
    if (line->rtp.started)
        return;
    line->rtp.hinted = true;
    line->rtp.highest = highest;
    line->next = below(run, 2) ? highest : below(run, TURN);
    run->counts.moves++;
}

/* A new SSRC, or one that was let go: nothing is known of it. */
static void line_forget(struct enginerun *run, struct line *line)
{
    memset(line, 0, sizeof(*line));
    line->next = below(run, 4) ? below(run, TURN) : draw_start(run);
    line->next_rtcp = draw_start_rtcp(run);
    run->counts.moves++;
}

static void change_stream(struct enginerun *run)
{
    unsigned i = (unsigned)below(run, STREAMS);

    if (below(run, 3) == 0) {
        line_tell(run, &run->key->line[i], draw_start(run), draw_start_rtcp(run));
        line_hint(run, &run->key->line[i], draw_start(run));
        return;
    }
    if (below(run, 2) == 0)
        run->ssrc[i] = (uint32_t)(draw(run) << 4) | i;
    line_forget(run, &run->key->line[i]);
    if (below(run, 4) == 0)
        line_hint(run, &run->key->line[i], draw_start(run));
    if (run->old)
        line_forget(run, &run->old->line[i]);
}

static bool rekey(struct enginerun *run)
{
    struct key *key = key_new(run);

    if (!key)
        return fail(run, "no session for a new key", "");
    for (unsigned i = 0; i < STREAMS; i++) {
        const struct line *from = &run->key->line[i];
        struct line *to = &key->line[i];

        oracle_rekey(&to->rtp, &from->rtp);
        for (unsigned lane = 0; lane < run->lanes; lane++)
            index_rekey(&to->index[lane], &from->index[lane]);
        to->next = below(run, 2) ? from->next : below(run, TURN);
        to->next_rtcp = below(run, 2) ? from->next_rtcp : 0;
    }
    key_free(run->old);
    run->old = run->key;
    run->old_left = OLD_PACKETS;
    run->key = key;
    run->counts.rekeys++;
    return true;
}

/* What a state file keeps is the highest index. */
static void line_restart(struct enginerun *run, struct line *line)
{
    for (unsigned i = 0; i < run->lanes; i++) {
        if (line->rtp.started)
            index_resume(&line->index[i], line->rtp.highest);
        if (line->rtcp.started)
            index_resume_rtcp(&line->index[i], (uint32_t)line->rtcp.highest);
    }
    if (line->rtp.started)
        oracle_resume(&line->rtp, line->rtp.highest);
    if (line->rtcp.started)
        oracle_resume(&line->rtcp, line->rtcp.highest);
}

static bool restart(struct enginerun *run, struct key *key)
{
    if (!key)
        return true;
    key->key.lifetime = key->left;
    for (unsigned i = 0; i < STREAMS; i++)
        line_restart(run, &key->line[i]);
    run->counts.restarts++;
    return open_sessions(run, key) || fail(run, "no session after a restart", "");
}

/* ------------------------------------------------------------ packets */

static size_t fill(uint8_t *out, size_t length, uint64_t hash)
{
    for (size_t i = 0; i < length; i++)
        out[i] = (uint8_t)(hash >> 8 * (i % 8)) ^ (uint8_t)i;
    return length;
}

static void put_u32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Returns the header's length. CSRCs and a header extension now and then. */
static size_t make_header(uint8_t *out, uint32_t ssrc, uint64_t hash)
{
    size_t csrcs = hash & 7 ? 0 : hash >> 3 & 15, words = hash >> 7 & 7 ? 0 : hash >> 10 & 7;
    bool extended = (hash >> 7 & 7) == 0;
    size_t length = 12 + fill(out + 12, 4 * csrcs, hash);

    out[0] = (uint8_t)(0x80 | csrcs | (extended ? 0x10 : 0) | (hash >> 13 & 0x20));
    out[1] = (uint8_t)(96 + (hash >> 20 & 31) + (hash >> 25 & 0x80)); /* RTP's, not RTCP's */
    fill(out + 4, 4, hash >> 16);
    put_u32(out + 8, ssrc);
    if (!extended)
        return length;
    put_u32(out + length, 0xbede0000u | (uint32_t)words);
    return length + 4 + fill(out + length + 4, 4 * words, hash);
}

static size_t payload_octets(uint64_t hash)
{
    static const uint8_t octets[] = {0,  1,  15, 16, 20, 20,  33,  40,
                                     40, 47, 60, 60, 80, 100, 160, 172};

    return hash >> 32 & 0xff ? octets[hash >> 40 & 15] : 1200;
}

/* Always the same packet for the same SSRC, key and index: a replay need not be kept. */
static void make_rtp(const struct enginerun *run, const struct key *key, uint32_t ssrc,
                     uint64_t index, struct packet *packet)
{
    uint64_t hash = mix(index ^ (uint64_t)ssrc << 32);
    size_t header = make_header(packet->octets, ssrc, hash);
    size_t length = header + fill(packet->octets + header, payload_octets(hash), hash);

    length = reference_rtp(run->suite, &key->rtp, index, packet->octets, header, length);
    packet->length =
        reference_mki(run->suite, false, key->key.mki, key->key.mki_length, packet->octets, length);
    packet->rtcp = false;
}

/* Some have E = 0, which is fine with AEAD alone. */
static bool is_clear(uint64_t index)
{
    return mix(index + 5) % 16 == 0;
}

static void make_rtcp(const struct enginerun *run, const struct key *key, uint32_t ssrc,
                      uint64_t index, struct packet *packet)
{
    uint64_t hash = mix(index ^ (uint64_t)ssrc << 31);
    size_t words = 1 + hash % 20;
    size_t length = 4 + 4 * words;

    put_u32(packet->octets, 0x80c80000u | (uint32_t)(hash >> 32 & 7) << 16 | (uint32_t)words);
    put_u32(packet->octets + 4, ssrc);
    fill(packet->octets + 8, length - 8, hash);
    length = reference_rtcp(run->suite, &key->rtcp, (uint32_t)index, !is_clear(index),
                            packet->octets, length);
    packet->length =
        reference_mki(run->suite, true, key->key.mki, key->key.mki_length, packet->octets, length);
    packet->rtcp = true;
}

static bool say_difference(struct enginerun *run, const enum verdict *verdict)
{
    char detail[96];

    snprintf(detail, sizeof(detail), "evp %s, libsrtp2 %s, evp with authentication keys %s",
             verdict_name(verdict[0]), verdict_name(verdict[1]),
             run->lanes > 2 ? verdict_name(verdict[2]) : "none");
    return fail(run, "the verdicts differ", detail);
}

/* Every lane gets the packet; all must agree. line NULL: the SA does not know the SSRC. */
static bool deliver(struct enginerun *run, struct key *key, struct line *line,
                    const struct rtp_view *view, const struct packet *packet, enum verdict *verdict)
{
    struct packet copy;
    enum verdict all[LANES_MAX] = {VERDICT_ACCEPTED};

    memcpy(copy.octets, packet->octets, packet->length);
    for (unsigned i = 0; line && i < run->lanes; i++)
        srtp_prefetch(key->session[i], &line->index[i], view);
    for (unsigned i = 0; i < run->lanes; i++)
        all[i] = srtp_verify(key->session[i], line ? &line->index[i] : NULL, view, copy.octets,
                             packet->length);
    if (memcmp(copy.octets, packet->octets, packet->length) != 0)
        return fail(run, "the packet was changed", "");
    for (unsigned i = 1; i < run->lanes; i++) {
        if (all[i] != all[0])
            return say_difference(run, all);
        if (line && memcmp(&line->index[i], &line->index[0], sizeof(line->index[0])) != 0)
            return fail(run, "the indexes differ", verdict_name(all[0]));
    }
    *verdict = all[0];
    run->counts.verdict[*verdict]++;
    return true;
}

/* ------------------------------------------------------------ good packets, in any order */

static uint64_t draw_far(struct enginerun *run, uint64_t highest)
{
    static const uint32_t ways[] = {HALF_TURN - 1, HALF_TURN, HALF_TURN + 1, TURN - 1,
                                    TURN,          TURN + 1,  3 * HALF_TURN, 3 * HALF_TURN + 1};

    return highest + (below(run, 2) ? ways[below(run, sizeof(ways) / sizeof(ways[0]))]
                                    : below(run, 3 * HALF_TURN));
}

/* The next one of the sender's, an older one, or one that is ahead. */
static uint64_t draw_index(struct enginerun *run, uint64_t highest, uint64_t next, uint64_t limit)
{
    uint64_t kind = below(run, 128), index = next;

    if (kind < 20)
        index = next + below(run, 20);
    else if (kind < 22)
        index = next + below(run, 3000);
    else if (kind < 24)
        index = highest + below(run, HALF_TURN);
    else if (kind < 25)
        index = draw_far(run, highest);
    else if (kind < 44)
        index = highest - below(run, 70);
    else if (kind < 52)
        index = highest - below(run, WINDOW + 80);
    else if (kind < 60)
        index = highest - WINDOW + below(run, 5) - 2;
    else if (kind < 62)
        index = highest - below(run, 3 * TURN);
    else if (kind < 64)
        index = highest - TURN * (1 + below(run, 3)) + below(run, 5) - 2;
    return index < limit ? index : next;
}

static bool check_state(struct enginerun *run, const struct line *line)
{
    const struct srtp_index *index = &line->index[0];

    if (index->started != line->rtp.started || index->rtcp_started != line->rtcp.started)
        return fail(run, "a stream began that should not have, or did not", "");
    if ((index->started && index->highest != line->rtp.highest) ||
        (index->rtcp_started && index->rtcp_highest != line->rtcp.highest))
        return fail(run, "the highest index is not that of the newest packet accepted", "");
    return true;
}

static void count_due(struct enginerun *run, enum due due)
{
    run->counts.to_accept += due == DUE_ACCEPT;
    run->counts.either += due == DUE_EITHER;
    run->counts.to_refuse += due != DUE_ACCEPT && due != DUE_EITHER;
}

static bool judge(struct enginerun *run, struct key *key, struct line *line, enum due due,
                  enum verdict verdict)
{
    static const char *const names[] = {"accepted", "replay", "auth-fail", "refused", "either"};
    char detail[64];
    bool right = key->left == 0 ? verdict == VERDICT_KEY_EXPIRED : is_due(due, verdict);

    count_due(run, due);
    key->left -= line && verdict == VERDICT_ACCEPTED;
    snprintf(detail, sizeof(detail), "due %s, got %s", names[due], verdict_name(verdict));
    return right || fail(run, "the oracle knows better", detail);
}

static bool send_rtcp(struct enginerun *run, struct key *key, unsigned stream)
{
    struct line *line = &key->line[stream];
    uint64_t index = draw_index(run, line->rtcp.highest, line->next_rtcp, RTCP_LIMIT);
    enum due due = due_rtcp(&line->rtcp, index);
    struct packet packet;
    struct rtp_view view;
    enum verdict verdict;

    make_rtcp(run, key, run->ssrc[stream], index, &packet);
    if (!run->suite->aead && is_clear(index) && due == DUE_ACCEPT)
        due = DUE_AUTH_FAIL;
    if (classify(packet.octets, packet.length, &view) != VERDICT_ACCEPTED)
        return fail(run, "a good packet has no shape", "");
    if (!deliver(run, key, line, &view, &packet, &verdict) || !judge(run, key, line, due, verdict))
        return false;
    if (verdict == VERDICT_ACCEPTED)
        oracle_add(&line->rtcp, index);
    if (index >= line->next_rtcp)
        line->next_rtcp = index + 1;
    return check_state(run, line);
}

static bool note_rtp(struct enginerun *run, struct line *line, uint64_t index, enum verdict verdict)
{
    bool followed = verdict == VERDICT_ACCEPTED || below(run, 2);

    if (verdict == VERDICT_ACCEPTED) {
        run->counts.wraps += line->rtp.started && index >> 16 > line->rtp.highest >> 16;
        oracle_add(&line->rtp, index);
        line->lost = 0;
    }
    if (followed && index >= line->next)
        line->next = index + 1; /* else that one strayed, and the sender goes on where it was */
    return check_state(run, line);
}

static bool send_rtp(struct enginerun *run, struct key *key, unsigned stream)
{
    struct line *line = &key->line[stream];
    uint64_t index = draw_index(run, line->rtp.highest, line->next, RTP_LIMIT);
    enum due due = due_rtp(&line->rtp, index);
    struct packet packet;
    struct rtp_view view;
    enum verdict verdict;

    make_rtp(run, key, run->ssrc[stream], index, &packet);
    if (classify(packet.octets, packet.length, &view) != VERDICT_ACCEPTED)
        return fail(run, "a good packet has no shape", "");
    if (!deliver(run, key, line, &view, &packet, &verdict) || !judge(run, key, line, due, verdict))
        return false;
    if (due == DUE_EITHER && verdict != VERDICT_ACCEPTED && key->left > 0 &&
        ++line->lost > LOST_MAX)
        return fail(run, "the search never found a stream", "");
    return note_rtp(run, line, index, verdict);
}

/* ------------------------------------------------------------ an SSRC that the SA does not know */

static bool send_unknown(struct enginerun *run, struct key *key, bool rtcp)
{
    uint32_t ssrc = (uint32_t)draw(run) | NOBODYS_SSRC;
    uint64_t index = below(run, 8) ? below(run, TURN) : draw_start(run);
    enum due due = index < TURN ? DUE_ACCEPT : DUE_AUTH_FAIL;
    struct packet packet;
    struct rtp_view view;
    enum verdict verdict;

    if (rtcp) {
        index %= RTCP_LIMIT;
        due = !run->suite->aead && is_clear(index) ? DUE_AUTH_FAIL : DUE_ACCEPT;
        make_rtcp(run, key, ssrc, index, &packet);
    } else {
        make_rtp(run, key, ssrc, index, &packet);
    }
    run->counts.unknown++;
    if (classify(packet.octets, packet.length, &view) != VERDICT_ACCEPTED)
        return fail(run, "a good packet has no shape", "");
    return deliver(run, key, NULL, &view, &packet, &verdict) && judge(run, key, NULL, due, verdict);
}

/* ------------------------------------------------------------ forgeries */

/* Where there are no such octets, one of the header's. */
static void flip(struct enginerun *run, struct packet *packet, size_t from, size_t octets)
{
    size_t at = octets > 0 ? from + below(run, octets) : 5;

    packet->octets[at] ^= (uint8_t)(1u << below(run, 8));
}

/* Where things stand in a packet of this key. */
static size_t mki_at(const struct enginerun *run, const struct key *key,
                     const struct packet *packet)
{
    const struct suite *suite = run->suite;
    size_t tag = packet->rtcp ? suite->rtcp_tag_octets : suite->rtp_tag_octets;

    return packet->length - key->key.mki_length - (suite->aead ? 0 : tag);
}

static size_t tag_at(const struct enginerun *run, const struct key *key,
                     const struct packet *packet)
{
    const struct suite *suite = run->suite;

    if (!suite->aead)
        return mki_at(run, key, packet) + key->key.mki_length;
    return mki_at(run, key, packet) - suite->rtp_tag_octets - (packet->rtcp ? 4 : 0);
}

/* One way or another it is no longer what the sender made. */
static void forge(struct enginerun *run, const struct key *key, struct packet *packet)
{
    const struct suite *suite = run->suite;
    size_t tag = packet->rtcp ? suite->rtcp_tag_octets : suite->rtp_tag_octets;
    size_t mki = mki_at(run, key, packet), clear = packet->rtcp ? 8 : 12;
    size_t ssrc = clear - 4;

    switch (below(run, FORGERIES)) {
    case 0:
        flip(run, packet, tag_at(run, key, packet), tag);
        break;
    case 1:
        flip(run, packet, 0, clear);
        break;
    case 2:
        flip(run, packet, clear, mki > clear ? mki - clear : 0);
        break;
    case 3:
        flip(run, packet, mki, key->key.mki_length);
        break;
    case 4: /* the SRTCP index, or the last octets of the payload */
        flip(run, packet, mki - 4, 4);
        break;
    case 5: /* the E bit */
        packet->octets[mki - 4] ^= 0x80;
        break;
    case 6:
        packet->length -= 1 + below(run, packet->length - 1);
        break;
    case 7:
        packet->length += fill(packet->octets + packet->length, 1 + below(run, 40), draw(run));
        break;
    case 8: /* as another stream's, or nobody's */
        put_u32(packet->octets + ssrc, run->ssrc[(packet->octets[ssrc + 3] + 1) % STREAMS] |
                                           (below(run, 2) ? NOBODYS_SSRC : 0));
        break;
    case 9:
        flip(run, packet, 0, packet->length);
        break;
    default: /* under nobody's key, with the right MKI */
        fill(packet->octets + tag_at(run, key, packet), tag, draw(run));
        break;
    }
}

/* A good packet that was changed, or one under the other key. */
static void make_forged(struct enginerun *run, const struct key *key, unsigned stream, bool rtcp,
                        struct packet *packet)
{
    const struct line *line = &key->line[stream];
    const struct key *other = key == run->key ? run->old : run->key;
    bool others = other && below(run, 8) == 0;
    const struct key *maker = others ? other : key;

    if (rtcp)
        make_rtcp(run, maker, run->ssrc[stream],
                  draw_index(run, line->rtcp.highest, line->next_rtcp, RTCP_LIMIT), packet);
    else
        make_rtp(run, maker, run->ssrc[stream],
                 draw_index(run, line->rtp.highest, line->next, RTP_LIMIT), packet);
    if (!others)
        forge(run, key, packet);
}

static struct line *find_line(struct enginerun *run, struct key *key, uint32_t ssrc)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        if (run->ssrc[i] == ssrc)
            return &key->line[i];
    }
    return NULL;
}

static bool is_unmoved(const struct srtp_index *now, struct srtp_index before)
{
    before.search_roc = now->search_roc; /* which ROC to try next is all that may change */
    before.search_wait = now->search_wait;
    before.search_spent = now->search_spent;
    return memcmp(now, &before, sizeof(before)) == 0;
}

static bool send_forged(struct enginerun *run, struct key *key, unsigned stream, bool rtcp)
{
    struct line *line = &key->line[stream];
    struct srtp_index before = {0};
    struct packet packet;
    struct rtp_view view;
    enum verdict verdict;

    make_forged(run, key, stream, rtcp, &packet);
    run->counts.forged++;
    run->counts.to_refuse++;
    if (classify(packet.octets, packet.length, &view) != VERDICT_ACCEPTED) {
        run->counts.verdict[VERDICT_MALFORMED]++;
        return true;
    }
    line = find_line(run, key, view.ssrc);
    if (line)
        before = line->index[0];
    if (!deliver(run, key, line, &view, &packet, &verdict))
        return false;
    if (verdict == VERDICT_ACCEPTED)
        return fail(run, "a forged packet was accepted", "");
    return !line || is_unmoved(&line->index[0], before) ||
           fail(run, "a forged packet moved the index", verdict_name(verdict));
}

/* ------------------------------------------------------------ the run */

/* A sender cannot go past the last index, and beyond the search's reach somebody must tell. */
static void keep_findable(struct enginerun *run, struct key *key, unsigned stream)
{
    struct line *line = &key->line[stream];
    bool out_of_reach = line->rtp.started ? distance(line->next, line->rtp.highest) > 3 * HALF_TURN
                                          : due_rtp(&line->rtp, line->next) == DUE_AUTH_FAIL;

    if (line->next >= RTP_LIMIT - 1 || line->next_rtcp >= RTCP_LIMIT - 1)
        line_tell(run, line, draw_start(run) % (RTP_LIMIT - 1), draw_start_rtcp(run));
    else if (out_of_reach && below(run, line->rtp.started ? 1 : LOST_UNTOLD) == 0)
        line_tell(run, line, line->next, line->next_rtcp);
}

static bool happen(struct enginerun *run)
{
    uint64_t kind = below(run, 12000);

    if (run->old && --run->old_left == 0) {
        key_free(run->old);
        run->old = NULL;
    }
    if (kind < 3 || (run->key->left == 0 && kind < 400))
        return rekey(run);
    if (kind < 6)
        return restart(run, run->key) && restart(run, run->old);
    if (kind < 18)
        change_stream(run);
    return true;
}

static bool step(struct enginerun *run)
{
    unsigned stream = (unsigned)below(run, STREAMS);
    bool rtcp = below(run, 6) == 0;
    uint64_t kind = below(run, 32);
    struct key *key;

    if (!happen(run))
        return false;
    key = run->old && below(run, 3) == 0 ? run->old : run->key;
    keep_findable(run, key, stream);
    if (kind < 4)
        return send_forged(run, key, stream, rtcp);
    if (kind < 5)
        return send_unknown(run, key, rtcp);
    return rtcp ? send_rtcp(run, key, stream) : send_rtp(run, key, stream);
}

bool enginerun_step(struct enginerun *run)
{
    run->number++;
    return *run->failure == '\0' && step(run);
}

static bool start(struct enginerun *run)
{
    run->lanes = run->suite->aead ? 2 : 3;
    for (unsigned i = 0; i < run->lanes; i++) {
        if (srtp_engine_new(&run->engine[i], i == 1 ? SRTP_ENGINE_LIBSRTP2 : SRTP_ENGINE_EVP) < 0)
            return false;
    }
    run->key = key_new(run);
    for (unsigned i = 0; i < STREAMS; i++)
        run->ssrc[i] = (uint32_t)(draw(run) << 4) | i;
    for (unsigned i = 0; run->key && i < STREAMS; i++)
        line_forget(run, &run->key->line[i]);
    return run->key;
}

struct enginerun *enginerun_new(const struct suite *suite, uint64_t seed)
{
    struct enginerun *run = calloc(1, sizeof(*run));

    if (!run)
        return NULL;
    run->suite = suite;
    run->seed = run->random = seed;
    if (start(run))
        return run;
    enginerun_free(run);
    return NULL;
}

void enginerun_free(struct enginerun *run)
{
    if (!run)
        return;
    key_free(run->key);
    key_free(run->old);
    for (unsigned i = 0; i < LANES_MAX; i++)
        srtp_engine_free(run->engine[i]);
    free(run);
}

const char *enginerun_failure(const struct enginerun *run)
{
    return run->failure;
}

const struct enginerun_counts *enginerun_counts(const struct enginerun *run)
{
    return &run->counts;
}
