#include "dmz-relay/places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/writer.h"
#include "common/tunnel/meetwire.h"

struct question {
    uint64_t number; /* 0: there is none */
    uint64_t asked_us;
};

struct places {
    struct places_hooks hooks;
    unsigned count;
    struct question question[]; /* of each site, about each */
};

struct places *places_new(unsigned sites, const struct places_hooks *hooks)
{
    size_t pairs = (size_t)sites * sites;
    struct places *places = calloc(1, sizeof(*places) + pairs * sizeof(places->question[0]));

    if (!places)
        return NULL;
    places->hooks = *hooks;
    places->count = sites;
    return places;
}

void places_free(struct places *places)
{
    free(places);
}

static void tell(const struct places *places, unsigned site, const struct meet_frame *frame)
{
    uint8_t memory[SITE_SIZE + MESSAGE_REASON_SIZE + 128];
    struct writer w;

    writer_init(&w, memory, sizeof(memory));
    meetwire_put(&w, FRAME_PUNCH, frame);
    places->hooks.tell(places->hooks.ctx, site, FRAME_PUNCH, memory, writer_length(&w));
}

static void refuse(const struct places *places, unsigned site, struct meet_frame *frame,
                   const char *reason)
{
    frame->own = frame->mapped = (struct addr){.family = 0};
    snprintf(frame->reason, sizeof(frame->reason), "%s", reason);
    tell(places, site, frame);
}

/* -1: there is none of this name. */
static int find_site(const struct places *places, const char *name)
{
    for (unsigned i = 0; i < places->count; i++) {
        if (strcasecmp(places->hooks.name(places->hooks.ctx, i), name) == 0)
            return (int)i;
    }
    return -1;
}

static struct question *question_of(struct places *places, unsigned site, unsigned other)
{
    return &places->question[(size_t)site * places->count + other];
}

static bool waits(const struct question *question, uint64_t number, uint64_t now_us)
{
    return question->number == number && now_us - question->asked_us < PLACES_US;
}

/* Both, or neither: who waits for an answer in vain does so for seconds. */
static void tell_both(const struct places *places, unsigned site, unsigned other, uint64_t number)
{
    const unsigned both[2] = {site, other};
    struct addr where[2];
    bool seen = true;

    for (unsigned i = 0; i < 2; i++)
        seen = places->hooks.where(places->hooks.ctx, both[i], &where[i]) && seen;
    for (unsigned i = 0; i < 2; i++) {
        struct meet_frame frame = {.number = number};

        snprintf(frame.site, sizeof(frame.site), "%s",
                 places->hooks.name(places->hooks.ctx, both[1 - i]));
        if (!seen) {
            refuse(places, both[i], &frame,
                   "the dmz-relay does not see where both tunnels come from");
            continue;
        }
        frame.own = where[i];
        frame.mapped = where[1 - i];
        tell(places, both[i], &frame);
    }
}

int places_frame(struct places *places, unsigned site, struct reader *body, uint64_t now_us)
{
    struct meet_frame frame;
    struct question *theirs;
    struct addr own;
    int other;

    if (meetwire_get(FRAME_PUNCH, body, &frame) < 0)
        return ERR_PROTOCOL;
    other = find_site(places, frame.site);
    if (other < 0 || other == (int)site ||
        !places->hooks.may(places->hooks.ctx, site, (unsigned)other)) {
        refuse(places, site, &frame, "neither of the two sites may call the other one");
    } else if (!places->hooks.where(places->hooks.ctx, site, &own)) {
        refuse(places, site, &frame, "the dmz-relay does not see where its tunnel comes from");
    } else if (waits(theirs = question_of(places, (unsigned)other, site), frame.number, now_us)) {
        theirs->number = 0;
        tell_both(places, site, (unsigned)other, frame.number);
    } else {
        *question_of(places, site, (unsigned)other) = (struct question){frame.number, now_us};
    }
    return 0;
}

void places_down(struct places *places, unsigned site)
{
    memset(question_of(places, site, 0), 0, places->count * sizeof(places->question[0]));
}
