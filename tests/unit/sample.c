#include "tests/unit/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/srtp/srtp.h"
#include "tests/unit/protect.h"

static struct srtp_engine *engine;

void sample_engine_start(void)
{
    if (engine)
        return;
    if (protect_start() < 0 || srtp_engine_new(&engine, SRTP_ENGINE_AUTO) < 0)
        abort();
}

void sample_engine_stop(void)
{
    if (!engine)
        return;
    srtp_engine_free(engine);
    engine = NULL;
    protect_stop();
}

struct srtp_engine *sample_engine(void)
{
    sample_engine_start();
    return engine;
}

struct addr sample_addr(const char *text)
{
    struct addr addr = {0};

    if (text[0] && addr_parse(text, &addr) < 0)
        abort();
    return addr;
}

static void place(struct sa_transport *transport, bool inside, uint32_t number)
{
    const char *format = number % 2 ? (inside ? "[fd00::%x:%x]:%u" : "[2a00::%x:%x]:%u")
                                    : (inside ? "10.1.%u.%u:%u" : "8.8.%u.%u:%u");
    char text[ADDR_TEXT_SIZE];
    unsigned high = number >> 8 & 0xff, low = number & 0xff;
    unsigned port = 10000 + (number >> 16 & 0x3ff) * 2;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof(text), format, high, low, port);
    transport->rtp = sample_addr(text);
    snprintf(text, sizeof(text), format, high, low, port + 1);
#pragma GCC diagnostic pop
    transport->rtcp = sample_addr(text);
}

void sample_text(struct sa *sa, enum sa_text which, const char *value)
{
    if (sa_set_text(sa, which, value) < 0)
        abort();
}

static bool same_text(const struct sa *a, const struct sa *b, enum sa_text which)
{
    return strcmp(sa_text(a, which), sa_text(b, which)) == 0;
}

struct sa *sample_sa(enum sa_side side, uint64_t id, uint32_t number)
{
    struct sa *sa = sa_new();
    char call_id[CALL_ID_SIZE];

    if (!sa || sa_stream_add(sa, number, SSRC_ORIGIN_SIGNALLED) < 0)
        abort();
    sa->id = id;
    sa->generation = 1;
    sa->side = side;
    sa->label = number;
    place(&sa->source, side == SA_SIDE_INTERNAL, number);
    place(&sa->destination, side == SA_SIDE_EXTERNAL, number);
    sa->suite = suite_get((enum suite_id)(number % SUITE_COUNT));
    snprintf(call_id, sizeof(call_id), "call-%u@example.net", number);
    sample_text(sa, SA_CALL_ID, call_id);
    sa->created_us = 1700000000000000 + id;
    rate_init(&sa->rate, 1000000);
    return sa;
}

struct sa *sample_keyed_sa(enum sa_side side, uint64_t id, uint32_t number)
{
    struct sa *sa = sample_sa(side, id, number);
    uint8_t material[SUITE_KEY_MAX_OCTETS];

    for (size_t i = 0; i < sizeof(material); i++)
        material[i] = (uint8_t)(number * 7 + id + i);
    sample_set_key(sa, material);
    return sa;
}

struct sa *sample_hairpin(enum sa_side side, uint64_t id, uint32_t number)
{
    struct sa *sa = sample_keyed_sa(side, id, number);

    sa->hairpin = true;
    place(&sa->destination, side == SA_SIDE_INTERNAL, number + 1000);
    return sa;
}

void sample_set_key(struct sa *sa, const uint8_t *material)
{
    struct srtp_key key;

    srtp_key_master(&key, material, suite_material_octets(sa->suite));
    if (sa_open(sa, sample_engine(), &key) < 0)
        abort();
}

void sample_material(const struct sa *sa, uint8_t material[SUITE_KEY_MAX_OCTETS])
{
    struct srtp_key key;

    if (!sa->srtp || srtp_session_key(sa->srtp, SRTP_KEY_MASTER, &key) < 0)
        abort();
    memcpy(material, key.octets, SUITE_KEY_MAX_OCTETS);
}

bool sample_same_key(const struct sa *a, const struct sa *b)
{
    struct srtp_key one, other;
    enum srtp_key_kind kind;

    if (!a->srtp || !b->srtp)
        return a->srtp == b->srtp;
    kind = srtp_session_kind(a->srtp) == SRTP_KEY_AUTH ? SRTP_KEY_AUTH : srtp_session_kind(b->srtp);
    return a->suite == b->suite && srtp_session_key(a->srtp, kind, &one) == 0 &&
           srtp_session_key(b->srtp, kind, &other) == 0 && one.length == other.length &&
           memcmp(one.octets, other.octets, one.length) == 0 &&
           one.mki_length == other.mki_length && memcmp(one.mki, other.mki, one.mki_length) == 0;
}

static bool same_transport(const struct sa_transport *a, const struct sa_transport *b)
{
    return addr_equal(&a->rtp, &b->rtp) && addr_equal(&a->rtcp, &b->rtcp) && a->mux == b->mux;
}

static bool same_index(const struct srtp_index *a, const struct srtp_index *b)
{
    return a->started == b->started && a->hinted == b->hinted &&
           ((!a->started && !a->hinted) || a->highest == b->highest) &&
           a->rtcp_started == b->rtcp_started &&
           (!a->rtcp_started || a->rtcp_highest == b->rtcp_highest);
}

static bool same_streams(const struct sa *a, const struct sa *b)
{
    if (a->stream_count != b->stream_count)
        return false;
    for (unsigned i = 0; i < a->stream_count; i++) {
        const struct sa_stream *x = &a->stream[i];
        const struct sa_stream *y = sa_stream((struct sa *)(uintptr_t)b, x->ssrc);

        if (!y || x->origin != y->origin || !same_index(&x->index, &y->index))
            return false;
    }
    return true;
}

static bool same_source(const struct sa *a, const struct sa *b)
{
    return same_transport(&a->source, &b->source) && a->suite == b->suite &&
           a->source_policy == b->source_policy && addr_equal(&a->hint, &b->hint) &&
           a->bound[0] == b->bound[0] && a->bound[1] == b->bound[1] && sample_same_key(a, b) &&
           a->rate.octets_per_second == b->rate.octets_per_second;
}

static bool same_destination(const struct sa *a, const struct sa *b)
{
    return same_transport(&a->destination, &b->destination) && same_text(a, b, SA_LISTENER_OUT);
}

bool sample_same(const struct sa *a, const struct sa *b, bool full)
{
    bool same = a->id == b->id && a->generation == b->generation && a->version == b->version &&
                a->label == b->label && a->side == b->side && a->hairpin == b->hairpin &&
                a->encap_in == b->encap_in && a->encap_out == b->encap_out &&
                a->media_index == b->media_index && a->created_us == b->created_us &&
                a->reverse == b->reverse && same_text(a, b, SA_CALL_ID) && same_streams(a, b);

    if (full || a->side == SA_SIDE_EXTERNAL)
        same = same && same_source(a, b);
    if (full || sa_to_side(a) == SA_SIDE_EXTERNAL)
        same = same && same_destination(a, b);
    if (full)
        same = same && same_text(a, b, SA_LISTENER_IN) && a->media_timeout_s == b->media_timeout_s;
    return same;
}
