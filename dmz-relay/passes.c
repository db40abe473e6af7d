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

/* Of a name that is no site's there is nothing to keep: who has asked gets it at once. */
static void tell_unknown(struct passes *passes, unsigned site, const char *about)
{
    struct pass_frame frame = {.state = PASS_STATE_UNKNOWN};
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

static uint64_t bit(unsigned site)
{
    return UINT64_C(1) << site;
}

static void owe(struct passes *passes, unsigned site, unsigned about)
{
    passes->owed[site] |= bit(about);
    passes->hooks.kick(passes->hooks.ctx, site);
}

static void refuse(struct passes *passes, unsigned site, unsigned other)
{
    passes->refused[site] |= bit(other);
    owe(passes, site, other);
}

static void forget(struct passes *passes, unsigned site, unsigned other)
{
    bool was_open = passes_open(passes, site, other);

    passes->wants[site] &= ~bit(other);
    passes->refused[site] &= ~bit(other);
    passes->owed[site] &= ~bit(other);
    if (was_open)
        owe(passes, other, site);
}

static void want(struct passes *passes, unsigned site, unsigned other)
{
    passes->wants[site] |= bit(other);
    passes->refused[site] &= ~bit(other);
    owe(passes, site, other);
    if (passes_open(passes, site, other))
        owe(passes, other, site);
}

static enum pass_state state_of(const struct passes *passes, unsigned site, unsigned about)
{
    if (passes->refused[site] & bit(about))
        return PASS_STATE_REFUSED;
    return passes_open(passes, site, about) ? PASS_STATE_OPEN : PASS_STATE_WAITING;
}

bool passes_pull(struct passes *passes, unsigned site, uint8_t *type, struct writer *body)
{
    struct pass_frame frame = {.number = 0};
    unsigned about;

    if (passes->owed[site] == 0)
        return false;
    about = (unsigned)__builtin_ctzll(passes->owed[site]);
    passes->owed[site] &= ~bit(about);
    frame.state = (uint8_t)state_of(passes, site, about);
    if (frame.state == PASS_STATE_OPEN)
        frame.number = (uint8_t)about;
    snprintf(frame.site, sizeof(frame.site), "%s", passes->names[about]);
    *type = FRAME_PASS_STATE;
    passwire_put(body, FRAME_PASS_STATE, &frame);
    return true;
}

int passes_frame(struct passes *passes, unsigned site, struct reader *body)
{
    struct pass_frame frame;
    int other;

    if (passwire_get(FRAME_PASS, body, &frame) < 0)
        return ERR_PROTOCOL;
    other = find(passes, frame.site);
    if (other < 0 || other == (int)site)
        tell_unknown(passes, site, frame.site);
    else if (!frame.want)
        forget(passes, site, (unsigned)other);
    else if (!passes->hooks.may(passes->hooks.ctx, site, (unsigned)other))
        refuse(passes, site, (unsigned)other);
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
    passes->owed[site] = passes->refused[site] = 0;
}

void passes_review(struct passes *passes)
{
    for (unsigned site = 0; site < passes->count; site++) {
        for (unsigned other = 0; passes->wants[site] && other < passes->count; other++) {
            if (!passes_wants(passes, site, other) ||
                passes->hooks.may(passes->hooks.ctx, site, other))
                continue;
            passes->wants[site] &= ~bit(other);
            refuse(passes, site, other);
        }
    }
}
