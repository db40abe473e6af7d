#include "tests/bench/load.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "common/sa/table.h"
#include "tests/tools/cli.h"

enum {
    FIRST_SEQUENCE = 1000, /* of each stream; the ones before count as lost */
    PACKET_INTERVAL_US = 20000,
    CLOCK_RATE = 8000,
    RATE_OCTETS_PER_SECOND = 1000000,
    PAYLOAD_TYPE = 0,
    SENDER_REPORT = 200,
    RTP_HEADER_OCTETS = 12,
    TRAILER_MAX_OCTETS = 20,
};

static const struct target_rules no_rules;

static void *must(void *memory)
{
    if (!memory)
        cli_die("out of memory");
    return memory;
}

static uint32_t ssrc_of(unsigned n)
{
    return 0x5a000000u + n;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* ---------------------------------------------------------------- SAs */

static struct addr source_of(unsigned n, uint16_t port)
{
    const uint8_t ip[4] = {8, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

    return addr_from_ip4(ip, port);
}

static void open_session(const struct load_plan *plan, struct sa *sa, struct reference_keys *keys)
{
    uint8_t material[SUITE_KEY_MAX_OCTETS];
    size_t octets = suite_material_octets(plan->suite);
    struct srtp_key key;

    random_bytes(material, octets);
    reference_keys(plan->suite, material, plan->shape == RTP_SHAPE_RTCP, keys);
    srtp_key_master(&key, material, octets);
    if (srtp_session_new(plan->engine, &sa->srtp, plan->suite, &key) < 0)
        cli_die("no session for %s", plan->suite->name);
}

static void make_sa(struct load *load, unsigned n)
{
    struct sa *sa = must(sa_new());

    sa->id = n + 1;
    sa->label = ssrc_of(n);
    sa->suite = load->plan.suite;
    sa->source.rtp = source_of(n, 20000);
    sa->source.rtcp = source_of(n, 20001);
    rate_init(&sa->rate, RATE_OCTETS_PER_SECOND);
    if (load->plan.learned) {
        sa->source_policy = SOURCE_HINTED;
        sa->bound[0] = sa->bound[1] = true;
    }
    if (sa_stream_add(sa, ssrc_of(n),
                      load->plan.learned ? SSRC_ORIGIN_LEARNED : SSRC_ORIGIN_SIGNALLED) < 0)
        cli_die("out of memory");
    sa->stream[0].stats.clock_rate = CLOCK_RATE;
    open_session(&load->plan, sa, &load->keys[n]);
    sa->stream[0].index = load->fresh;
    load->sender[n] = (struct load_sender){sa->srtp, &sa->stream[0].index};
    if (table_insert(load->table, sa) < 0)
        cli_die("an SA is not taken");
}

/* ---------------------------------------------------------------- packets */

static void make_plain(const struct load_plan *plan, unsigned n, unsigned number, uint8_t *packet)
{
    random_bytes(packet, plan->size);
    packet[0] = 0x80;
    if (plan->shape == RTP_SHAPE_RTP) {
        packet[1] = PAYLOAD_TYPE;
        put_u32(packet + 4, number * (CLOCK_RATE / (1000000 / PACKET_INTERVAL_US)));
        put_u32(packet + 8, ssrc_of(n));
        return;
    }
    packet[1] = SENDER_REPORT;
    packet[2] = (uint8_t)((plan->size / 4 - 1) >> 8);
    packet[3] = (uint8_t)(plan->size / 4 - 1);
    put_u32(packet + 4, ssrc_of(n));
}

static size_t make_packet(const struct load *load, unsigned n, unsigned number, uint8_t *packet)
{
    const struct load_plan *plan = &load->plan;

    make_plain(plan, n, number, packet);
    if (plan->shape == RTP_SHAPE_RTP)
        return reference_rtp(plan->suite, &load->keys[n], FIRST_SEQUENCE + number, packet,
                             RTP_HEADER_OCTETS, plan->size);
    return reference_rtcp(plan->suite, &load->keys[n], FIRST_SEQUENCE + number, true, packet,
                          plan->size);
}

static void forge(const struct load *load, uint8_t *packet)
{
    const struct load_plan *plan = &load->plan;
    /* With AEAD, the tag of SRTCP stands in front of the index, otherwise behind it. */
    size_t behind = plan->shape == RTP_SHAPE_RTCP && plan->suite->aead ? 4 : 0;

    if (plan->forged)
        packet[load->length - behind - 1] ^= 1;
}

static void make_packets(struct load *load)
{
    for (unsigned i = 0; i < load->count; i++) {
        uint8_t *packet = load->octets + i * load->stride;

        load->length =
            make_packet(load, load->order[i % load->plan.sas], i / load->plan.sas, packet);
        forge(load, packet);
    }
}

/* ---------------------------------------------------------------- */

static void shuffle(unsigned *order, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        order[i] = i;
    for (unsigned i = count; i > 1; i--) {
        uint32_t random;
        unsigned other, kept = order[i - 1];

        random_bytes(&random, sizeof(random));
        other = random % i;
        order[i - 1] = order[other];
        order[other] = kept;
    }
}

struct load *load_new(const struct load_plan *plan)
{
    struct load *load = must(aligned_alloc(LOAD_LINE_OCTETS, sizeof(*load)));

    memset(load, 0, sizeof(*load));
    load->plan = *plan;
    load->count = plan->sas * plan->packets;
    load->stride = (plan->size + TRAILER_MAX_OCTETS + LOAD_LINE_OCTETS - 1) / LOAD_LINE_OCTETS *
                   LOAD_LINE_OCTETS;
    load->table = must(table_new(plan->sas));
    load->path = (struct path){.side = SA_SIDE_EXTERNAL,
                               .learn = {load->table, must(budget_new()), &no_rules}};
    load->sender = must(calloc(plan->sas, sizeof(*load->sender)));
    load->keys = must(calloc(plan->sas, sizeof(*load->keys)));
    load->order = must(calloc(plan->sas, sizeof(*load->order)));
    load->octets = must(malloc(load->count * load->stride));
    load->now_us = 1000000;
    if (!plan->only_once) {
        index_resume(&load->fresh, FIRST_SEQUENCE - 1);
        index_resume_rtcp(&load->fresh, FIRST_SEQUENCE - 1);
    }
    for (unsigned i = 0; i < plan->sas; i++)
        make_sa(load, i);
    shuffle(load->order, plan->sas);
    make_packets(load);
    return load;
}

void load_free(struct load *load)
{
    if (!load)
        return;
    budget_free(load->path.learn.budget);
    table_free(load->table);
    free(load->sender);
    free(load->keys);
    free(load->order);
    free(load->octets);
    free(load);
}

static void again(struct load *load)
{
    if (load->plan.only_once)
        cli_die("the packets are used up");
    load->next = 0;
    /* Forged ones moved nothing, but when another ROC is tried next. */
    for (unsigned i = 0; i < load->plan.sas && !load->plan.forged; i++)
        *load->sender[i].index = load->fresh;
}

/* RFC 7714 section 8.1, ROC 0. */
static void put_iv(const struct load *load, unsigned n, struct load_slot *slot)
{
    memset(slot->iv, 0, sizeof(slot->iv));
    memcpy(slot->iv + 2, slot->data + 8, 4);
    memcpy(slot->iv + 10, slot->data + 2, 2);
    for (size_t i = 0; i < sizeof(slot->iv); i++)
        slot->iv[i] ^= load->keys[n].salt[i];
}

static void receive_one(struct load *load, struct load_slot *slot, struct udp_packet *packet)
{
    unsigned n = load->order[load->next % load->plan.sas];
    const struct load_sender *sender = &load->sender[n];
    bool rtcp = load->plan.shape == RTP_SHAPE_RTCP;

    memcpy(slot->data, load->octets + load->next * load->stride, load->length);
    slot->session = sender->session;
    slot->index = sender->index;
    *packet = (struct udp_packet){
        .data = slot->data, .length = load->length, .source = source_of(n, rtcp ? 20001 : 20000)};
    if (classify(slot->data, load->length, &slot->view) != VERDICT_ACCEPTED)
        cli_die("a packet is not RTP");
    put_iv(load, n, slot);
    load->now_us += PACKET_INTERVAL_US / load->plan.sas;
    load->next++;
}

void load_receive(struct load *load)
{
    if (load->next + LOAD_BATCH > load->count)
        again(load);
    for (unsigned i = 0; i < LOAD_BATCH; i++)
        receive_one(load, &load->slot[i], &load->packet[i]);
}
