/*
 * From site to site under hostile inner-relays: each octet of the input is a step. Whatever comes,
 * no more than a window of each pair is held, what goes on can be read and names its sender, and a
 * site gets back what it sent.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/protocol.h"
#include "common/tunnel/sitewire.h"
#include "dmz-relay/exchange.h"

enum { SITES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"a", "b", "c"};

struct world {
    struct exchange *exchange;
    bool up[SITES];
};

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static void on_kick(void *ctx, unsigned site)
{
    (void)ctx;
    expect(site < SITES);
}

static void on_tell(void *ctx, unsigned site, const uint8_t *body, size_t length)
{
    const struct world *world = ctx;
    struct site_frame frame;
    struct reader r;

    expect(site < SITES && world->up[site]);
    reader_init(&r, body, length);
    expect(sitewire_get(FRAME_SITE_STATE, &r, &frame) == 0);
    expect(frame.state >= SITE_STATE_REFUSED && frame.state <= SITE_STATE_OFFLINE);
}

static const struct exchange_hooks hooks = {on_kick, on_tell};

static void set_up(struct world *world, unsigned site, bool up)
{
    if (up == world->up[site])
        return;
    world->up[site] = up;
    if (up)
        exchange_up(world->exchange, site, FEATURE_SITES);
    else
        exchange_down(world->exchange, site);
}

static void take(struct world *world, unsigned site, uint8_t type, const uint8_t *body,
                 size_t length)
{
    struct reader r;

    if (!world->up[site])
        return;
    reader_init(&r, body, length);
    if (exchange_frame(world->exchange, site, type, &r) < 0)
        set_up(world, site, false);
}

/* One that can be read. */
static void take_good(struct world *world, unsigned site, unsigned how, uint8_t octet)
{
    static const uint8_t data[SITE_DATA_OCTETS];
    struct site_frame frame = {.session = octet,
                               .kind = (uint8_t)(1 + how % 3),
                               .state = SITE_STATE_CLOSED,
                               .data = data,
                               .length = 1 + octet * (size_t)14};
    uint8_t memory[FRAME_MAX_OCTETS], type = how & 4 ? FRAME_SITE_STATE : FRAME_SITE;
    struct writer w;

    snprintf(frame.site, sizeof(frame.site), "%s", octet % 7 == 6 ? "d" : names[octet % SITES]);
    writer_init(&w, memory, sizeof(memory));
    sitewire_put(&w, type, &frame);
    take(world, site, type, memory, writer_length(&w));
}

static void pull(struct world *world, unsigned site)
{
    uint8_t memory[FRAME_MAX_OCTETS], type;
    struct site_frame frame;
    struct writer w;
    struct reader r;

    writer_init(&w, memory, sizeof(memory));
    if (!exchange_pull(world->exchange, site, &type, &w))
        return;
    expect(world->up[site] && !w.failed);
    expect(type == FRAME_SITE || type == FRAME_SITE_STATE);
    reader_init(&r, memory, writer_length(&w));
    expect(sitewire_get(type, &r, &frame) == 0);
    expect(strcmp(frame.site, "d") != 0);
    if (type == FRAME_SITE_STATE)
        expect(frame.state == SITE_STATE_TAKEN || frame.state == SITE_STATE_CLOSED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {.exchange = NULL};

    world.exchange = exchange_new(names, SITES, &hooks, &world);
    if (!world.exchange)
        return 0;
    exchange_set_policy(world.exchange, 0, 2);
    exchange_set_policy(world.exchange, 1, 5);
    for (unsigned i = 0; i < SITES; i++)
        set_up(&world, i, true);
    for (size_t i = 0; i + 1 < size; i += 2) {
        unsigned site = data[i] % SITES, how = data[i] / 32;
        size_t left = size - i - 2;

        switch (data[i] / SITES % 5) {
        case 0:
        case 1:
            take_good(&world, site, how, data[i + 1]);
            break;
        case 2:
            left = left < data[i + 1] ? left : data[i + 1];
            take(&world, site, how & 1 ? FRAME_SITE : FRAME_SITE_STATE, data + i + 2, left);
            break;
        case 3:
            pull(&world, site);
            break;
        default:
            set_up(&world, site, how > 1);
        }
        expect(exchange_held(world.exchange) <= SITES * SITES * SITE_WINDOW_OCTETS);
    }
    exchange_free(world.exchange);
    return 0;
}
