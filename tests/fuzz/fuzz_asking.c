/*
 * Hostile sites that ask the dmz-relay about each other, by PASS and by PUNCH: the input is steps
 * of two octets, some with a frame of any octets behind them. Whatever comes, packets go between
 * two sites only that both want them and may call, and a site learns only where one is that has
 * asked about it with the same number in the same seconds.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/err.h"
#include "common/tunnel/meetwire.h"
#include "common/tunnel/passwire.h"
#include "dmz-relay/passes.h"
#include "dmz-relay/places.h"

enum { SITES = 3, NAMES = 5 }; /* the names that are no site's, too */
enum step { PASS, PUNCH, ANY_PASS, ANY_PUNCH, DOWN, MAY, PULL, TIME, STEPS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[NAMES] = {"a", "b", "c", "d", "A"};

/* The last ones of a site about another: one that is refused takes no other's place. */
enum { QUESTIONS = 8 };
struct questions {
    unsigned count;
    struct {
        uint64_t number, asked_us;
    } last[QUESTIONS];
};

struct world {
    struct passes passes;
    struct places *places;
    uint64_t now_us;
    bool may[SITES][SITES], hidden[SITES];
    bool wants[SITES][SITES];
    struct questions questions[SITES][SITES];
};

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static unsigned number_of(const char *name)
{
    for (unsigned i = 0; i < SITES; i++) {
        if (strcasecmp(names[i], name) == 0)
            return i;
    }
    return SITES;
}

/* ------------------------------------------------------------ what the dmz-relay asks and says */

static bool on_may(void *ctx, unsigned site, unsigned other)
{
    const struct world *world = ctx;

    expect(site < SITES && other < SITES && site != other);
    return world->may[site][other];
}

static const char *on_name(void *ctx, unsigned site)
{
    (void)ctx;
    expect(site < SITES);
    return names[site];
}

static struct addr address_of(unsigned site)
{
    char text[ADDR_TEXT_SIZE];
    struct addr addr;

    snprintf(text, sizeof(text), "192.0.2.%u:%u", 1 + site, 1000 + site);
    expect(addr_parse(text, &addr) == 0);
    return addr;
}

static bool on_where(void *ctx, unsigned site, struct addr *addr)
{
    const struct world *world = ctx;

    *addr = address_of(site);
    return !world->hidden[site];
}

static void on_kick(void *ctx, unsigned site)
{
    (void)ctx;
    expect(site < SITES);
}

static void on_pass_told(void *ctx, unsigned site, const uint8_t *body, size_t length)
{
    struct pass_frame frame;
    struct reader r;

    (void)ctx;
    expect(site < SITES);
    reader_init(&r, body, length);
    expect(passwire_get(FRAME_PASS_STATE, &r, &frame) == 0);
    expect(frame.state == PASS_STATE_UNKNOWN);
}

static void note_question(struct world *world, unsigned site, unsigned other, uint64_t number)
{
    struct questions *questions = &world->questions[site][other];
    unsigned at = questions->count++ % QUESTIONS;

    questions->last[at].number = number;
    questions->last[at].asked_us = world->now_us;
}

static bool has_asked(const struct world *world, unsigned site, unsigned other, uint64_t number)
{
    const struct questions *questions = &world->questions[site][other];

    for (unsigned i = 0; i < QUESTIONS; i++) {
        if (questions->last[i].number == number &&
            world->now_us - questions->last[i].asked_us < PLACES_US)
            return true;
    }
    return false;
}

static void on_punch_told(void *ctx, unsigned site, uint8_t type, const uint8_t *body,
                          size_t length)
{
    const struct world *world = ctx;
    struct addr own, mapped;
    struct meet_frame frame;
    struct reader r;
    unsigned other;

    expect(site < SITES && type == FRAME_PUNCH);
    reader_init(&r, body, length);
    expect(meetwire_get(FRAME_PUNCH, &r, &frame) == 0);
    if (frame.mapped.port == 0) {
        expect(frame.reason[0] != '\0');
        return;
    }
    other = number_of(frame.site);
    expect(other < SITES && world->may[site][other]);
    expect(has_asked(world, site, other, frame.number));
    expect(has_asked(world, other, site, frame.number));
    own = address_of(site);
    mapped = address_of(other);
    expect(!world->hidden[site] && !world->hidden[other]);
    expect(addr_equal(&frame.own, &own) && addr_equal(&frame.mapped, &mapped));
}

/* ------------------------------------------------------------ steps */

static void go_down(struct world *world, unsigned site)
{
    passes_down(&world->passes, site);
    places_down(world->places, site);
    memset(world->wants[site], 0, sizeof(world->wants[site]));
    memset(world->questions[site], 0, sizeof(world->questions[site]));
}

/* What is asked for is noted before it is asked, as far as it can be read. */
static void give_pass(struct world *world, unsigned site, const uint8_t *body, size_t length)
{
    struct pass_frame frame;
    struct reader r;
    unsigned other;

    reader_init(&r, body, length);
    if (passwire_get(FRAME_PASS, &r, &frame) == 0) {
        other = number_of(frame.site);
        if (other < SITES)
            world->wants[site][other] = frame.want;
    }
    reader_init(&r, body, length);
    if (passes_frame(&world->passes, site, &r) < 0)
        go_down(world, site);
}

static void give_punch(struct world *world, unsigned site, const uint8_t *body, size_t length)
{
    struct meet_frame frame;
    struct reader r;
    unsigned other;

    reader_init(&r, body, length);
    if (meetwire_get(FRAME_PUNCH, &r, &frame) == 0) {
        other = number_of(frame.site);
        if (other < SITES)
            note_question(world, site, other, frame.number);
    }
    reader_init(&r, body, length);
    if (places_frame(world->places, site, &r, world->now_us) < 0)
        go_down(world, site);
}

static void make_pass(struct world *world, unsigned site, uint8_t octet)
{
    struct pass_frame frame = {.want = octet & 1};
    uint8_t memory[SITE_SIZE + 64];
    struct writer w;

    snprintf(frame.site, sizeof(frame.site), "%s", names[(octet >> 1) % NAMES]);
    writer_init(&w, memory, sizeof(memory));
    passwire_put(&w, FRAME_PASS, &frame);
    give_pass(world, site, memory, writer_length(&w));
}

static void make_punch(struct world *world, unsigned site, uint8_t octet)
{
    struct meet_frame frame = {.number = 1 + octet % 3};
    uint8_t memory[SITE_SIZE + 64];
    struct writer w;

    snprintf(frame.site, sizeof(frame.site), "%s", names[(octet / 3) % NAMES]);
    writer_init(&w, memory, sizeof(memory));
    meetwire_put(&w, FRAME_PUNCH, &frame);
    give_punch(world, site, memory, writer_length(&w));
}

static void change_may(struct world *world, unsigned site, uint8_t octet)
{
    unsigned other = (site + 1) % SITES;

    world->may[site][other] = world->may[other][site] = octet & 1;
    world->hidden[site] = octet & 2;
    passes_review(&world->passes);
}

/* Of each pair one state is owed at most. */
static void pull(struct world *world, unsigned site)
{
    uint8_t memory[SITE_SIZE + 64], type;
    struct pass_frame frame;
    unsigned count = 0;
    struct writer w;
    struct reader r;

    for (;;) {
        writer_init(&w, memory, sizeof(memory));
        if (!passes_pull(&world->passes, site, &type, &w))
            return;
        expect(type == FRAME_PASS_STATE && ++count < SITES);
        reader_init(&r, memory, writer_length(&w));
        expect(passwire_get(type, &r, &frame) == 0);
        expect(number_of(frame.site) < SITES && number_of(frame.site) != site);
        if (frame.state == PASS_STATE_OPEN)
            expect(frame.number == number_of(frame.site) &&
                   passes_open(&world->passes, site, frame.number));
    }
}

static void look(const struct world *world)
{
    for (unsigned a = 0; a < SITES; a++) {
        for (unsigned b = 0; b < SITES; b++) {
            if (!passes_open(&world->passes, a, b))
                continue;
            expect(a != b && passes_open(&world->passes, b, a));
            expect(world->wants[a][b] && world->wants[b][a] && world->may[a][b]);
        }
    }
}

/* How many octets it has taken beyond its own two. */
static size_t take_step(struct world *world, const uint8_t *step, size_t left)
{
    unsigned site = step[0] / STEPS % SITES;
    size_t length = step[1] < left ? step[1] : left;

    switch ((enum step)(step[0] % STEPS)) {
    case PASS:
        make_pass(world, site, step[1]);
        return 0;
    case PUNCH:
        make_punch(world, site, step[1]);
        return 0;
    case ANY_PASS:
        give_pass(world, site, step + 2, length);
        return length;
    case ANY_PUNCH:
        give_punch(world, site, step + 2, length);
        return length;
    case DOWN:
        go_down(world, site);
        return 0;
    case MAY:
        change_may(world, site, step[1]);
        return 0;
    case PULL:
        pull(world, site);
        return 0;
    default:
        world->now_us += step[1] * UINT64_C(40000);
        return 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {.now_us = PLACES_US};
    const struct passes_hooks pass_hooks = {on_may, on_pass_told, on_kick, &world};
    const struct places_hooks place_hooks = {on_may, on_name, on_where, on_punch_told, &world};
    size_t at = 0;

    passes_init(&world.passes, names, SITES, &pass_hooks);
    world.places = places_new(SITES, &place_hooks);
    expect(world.places != NULL);
    while (size - at >= 2) {
        at += 2 + take_step(&world, data + at, size - at - 2);
        look(&world);
    }
    places_free(world.places);
    return 0;
}
