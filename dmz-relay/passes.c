#include "dmz-relay/passes.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/err.h"
#include "common/tunnel/passwire.h"

void passes_init(struct passes *passes, const char *const *names, size_t count,
                 const struct passes_hooks *hooks)
{
    *passes = (struct passes){.names = names, .count = count, .hooks = *hooks};
}

static void tell(struct passes *passes, unsigned site, const char *about, enum pass_state state,
                 unsigned number)
{
    struct pass_frame frame = {.state = (uint8_t)state, .number = (uint8_t)number};
    uint8_t memory[SITE_SIZE + 64];
    struct writer w;

    snprintf(frame.site, sizeof(frame.site), "%s", about);
    writer_init(&w, memory, sizeof(memory));
    passwire_put(&w, FRAME_PASS_STATE, &frame);
    passes->hooks.tell(passes->hooks.ctx, site, memory, writer_length(&w));
}

static int find(const struct passes *passes, const char *name)
{
    for (size_t i = 0; i < passes->count; i++) {
        if (strcasecmp(passes->names[i], name) == 0)
            return (int)i;
    }
    return -1;
}

static void forget(struct passes *passes, unsigned site, unsigned other)
{
    bool was_open = passes_open(passes, site, other);

    passes->wants[site] &= ~(UINT64_C(1) << other);
    if (was_open)
        tell(passes, other, passes->names[site], PASS_STATE_WAITING, 0);
}

static void want(struct passes *passes, unsigned site, unsigned other)
{
    passes->wants[site] |= UINT64_C(1) << other;
    if (!passes_open(passes, site, other)) {
        tell(passes, site, passes->names[other], PASS_STATE_WAITING, 0);
        return;
    }
    tell(passes, site, passes->names[other], PASS_STATE_OPEN, other);
    tell(passes, other, passes->names[site], PASS_STATE_OPEN, site);
}

int passes_frame(struct passes *passes, unsigned site, struct reader *body)
{
    struct pass_frame frame;
    int other;

    if (passwire_get(FRAME_PASS, body, &frame) < 0)
        return ERR_PROTOCOL;
    other = find(passes, frame.site);
    if (other < 0 || other == (int)site)
        tell(passes, site, frame.site, PASS_STATE_UNKNOWN, 0);
    else if (!frame.want)
        forget(passes, site, (unsigned)other);
    else if (!passes->hooks.may(passes->hooks.ctx, site, (unsigned)other))
        tell(passes, site, frame.site, PASS_STATE_REFUSED, 0);
    else
        want(passes, site, (unsigned)other);
    return 0;
}

void passes_down(struct passes *passes, unsigned site)
{
    for (unsigned other = 0; other < passes->count; other++) {
        if (passes_wants(passes, site, other))
            forget(passes, site, other);
    }
}

void passes_review(struct passes *passes)
{
    for (unsigned site = 0; site < passes->count; site++) {
        for (unsigned other = 0; passes->wants[site] && other < passes->count; other++) {
            if (!passes_wants(passes, site, other) ||
                passes->hooks.may(passes->hooks.ctx, site, other))
                continue;
            passes->wants[site] &= ~(UINT64_C(1) << other);
            tell(passes, site, passes->names[other], PASS_STATE_REFUSED, 0);
        }
    }
}
