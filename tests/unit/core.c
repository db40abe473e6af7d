#include "tests/unit/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/srtp/srtp.h"

static struct srtp_engine *engine;

bool core_start_engine(void)
{
    return srtp_engine_new(&engine, SRTP_ENGINE_AUTO) == 0;
}

void core_stop_engine(void)
{
    srtp_engine_free(engine);
    engine = NULL;
}

/* ------------------------------------------------------------ hooks that count */

static void on_send(void *ctx, unsigned listener, bool rtcp_port, const struct addr *to,
                    const uint8_t *packet, size_t length, void *tag)
{
    struct core *core = ctx;

    (void)to;
    (void)packet;
    (void)length;
    core->sent++;
    inbound_sent(&core->inner, listener, rtcp_port, tag, 0);
}

static void on_flush(void *ctx)
{
    (void)ctx;
}

static void on_kick(void *ctx, struct inner_link *link)
{
    struct core *core = ctx;

    core->kicked[link->number]++;
}

static void on_changed(void *ctx)
{
    struct core *core = ctx;

    core->changed++;
}

static void on_deleted(void *ctx, uint64_t id)
{
    struct core *core = ctx;

    if (core->deleted_count < CORE_DELETED_MAX)
        core->deleted[core->deleted_count++] = id;
}

/* ------------------------------------------------------------ the core */

static struct addr address(const char *text)
{
    struct addr addr = {0};

    if (addr_parse(text, &addr) < 0)
        abort();
    return addr;
}

static struct addr_net net(const char *text)
{
    struct addr_net out = {0};

    if (addr_net_parse(text, &out) < 0)
        abort();
    return out;
}

static void add_listener(struct inner *inner, const char *name, const char *addr,
                         const char *advertise)
{
    struct path_listener *listener = &inner->listeners[inner->listener_count++];

    snprintf(listener->name, sizeof(listener->name), "%s", name);
    listener->address = address(addr);
    listener->advertise = address(advertise);
    listener->m_line = -1;
    inner->rules.own[inner->rules.own_count++] = listener->address;
    inner->rules.own[inner->rules.own_count++] = listener->advertise;
}

bool core_init(struct core *core, size_t max_sas)
{
    static const char *const names[] = {"east", "west", NULL};
    struct inner_options options = {.engine = engine,
                                    .max_sas = max_sas,
                                    .max_age_us = 60000,
                                    .queue_octets = 65536,
                                    .sa_rate = 125000,
                                    .media_timeout_s = 90,
                                    .dmz_keys = WIRE_REPLICA_FULL,
                                    .engine_name = "evp",
                                    .software = "test"};
    struct path_out out = {on_send, on_flush, core};
    struct inner_hooks hooks = {on_kick, on_changed, on_deleted, NULL, NULL, core};
    struct target_rules *rules = &core->inner.rules;

    memset(core, 0, sizeof(*core));
    if (inner_init(&core->inner, &options, names, &out, &hooks) < 0)
        return false;
    add_listener(&core->inner, "four", "10.0.0.1:4000", "10.0.0.101:4000");
    add_listener(&core->inner, "six", "[fd00::1]:4000", "[fd00::101]:4000");
    rules->internal[rules->internal_count++] = net("10.0.0.0/8");
    rules->internal[rules->internal_count++] = net("fd00::/8");
    rules->external[rules->external_count++] = net("192.0.2.0/24");
    rules->external[rules->external_count++] = net("2001:db8::/32");
    return true;
}

void core_fini(struct core *core)
{
    inner_fini(&core->inner);
}

void core_introduce(struct core *core, unsigned link, uint32_t capacity, uint32_t quota)
{
    struct hello *peer = &core->inner.links[link].peer;

    *peer = (struct hello){.version = 1, .capacity = capacity, .quota = quota, .listener_count = 2};
    snprintf(peer->listener[0].name, sizeof(peer->listener[0].name), "out4");
    snprintf(peer->listener[1].name, sizeof(peer->listener[1].name), "out6");
    peer->listener[0].m_line = peer->listener[1].m_line = -1;
    peer->listener[0].advertise = address("203.0.113.7:5004");
    peer->listener[1].advertise = address("[2001:db8::7]:5004");
}

/* ------------------------------------------------------------ requests */

void core_request(struct admit_request *request, unsigned n)
{
    *request = (struct admit_request){.side = SA_SIDE_EXTERNAL,
                                      .source = {.rtp = address("192.0.2.10:1024")},
                                      .destination = {.rtp = address("10.0.1.20:1024")},
                                      .suite = suite_get((enum suite_id)(n % SUITE_COUNT)),
                                      .ssrc_count = 1,
                                      .ssrc = {0x1000 + n},
                                      .media_timeout_s = -1};
    request->source.rtp.port = (uint16_t)(1024 + 2 * n);
    request->source.rtcp = request->source.rtp;
    request->source.rtcp.port++;
    request->destination.rtp.port = (uint16_t)(1024 + 2 * n);
    request->destination.rtcp = request->destination.rtp;
    request->destination.rtcp.port++;
    request->key.kind = SRTP_KEY_MASTER;
    request->key.lifetime = SRTP_LIFETIME_MAX;
    request->key.length = suite_material_octets(request->suite);
    for (size_t i = 0; i < request->key.length; i++)
        request->key.octets[i] = (uint8_t)(n * 7 + i * 13 + 1);
    snprintf(request->call_id, sizeof(request->call_id), "call-%u@example", n);
}

struct sa *core_add(struct core *core, const struct admit_request *request)
{
    struct admit_error error;
    struct sa *sa = NULL;

    if (admit(&core->inner, request, 1700000000000000, 1000000, &sa, &error) < 0)
        return NULL;
    return sa;
}
