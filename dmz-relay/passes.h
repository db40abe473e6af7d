/*
 * The packet forwarder: which sites exchange packets here that no SA is known of. Both have to want
 * it, each in its own tunnel, and one of them must be allowed to call the other one. So nobody has
 * to tell a packet forwarder whom to expect, and no site gets what it has not asked for. No socket,
 * no clock.
 */
#ifndef DMZ_RELAY_PASSES_H
#define DMZ_RELAY_PASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"

struct passes_hooks {
    /* May one of the two call the other? */
    bool (*may)(void *ctx, unsigned a, unsigned b);
    /* Sends the site an urgent PASS-STATE, which is the answer to its own PASS. */
    void (*tell)(void *ctx, unsigned site, const uint8_t *body, size_t length);
    /* passes_pull() has something for the site. */
    void (*kick)(void *ctx, unsigned site);
    void *ctx;
};

/* Media threads read it beside each other; the main thread alone changes it. */
struct passes {
    const char *const *names;
    size_t count;
    struct passes_hooks hooks;
    uint64_t wants[PASS_NUMBERS]; /* sites, a bit each, that this one wants packets of */
    uint64_t refused[PASS_NUMBERS];
    uint64_t owed[PASS_NUMBERS]; /* whose newest state has to be said yet */
};

/* names: count of them, at most PASS_NUMBERS; they must outlive it. */
void passes_init(struct passes *passes, const char *const *names, size_t count,
                 const struct passes_hooks *hooks);
/* A PASS came. ERR_PROTOCOL: no honest inner-relay sends it. */
int passes_frame(struct passes *passes, unsigned site, struct reader *body);
/*
 * Puts the next PASS-STATE for the site; false: there is none. Of each pair the newest state alone
 * is said: however often one site changes its mind, the other one's queue holds one frame of it.
 */
bool passes_pull(struct passes *passes, unsigned site, uint8_t *type, struct writer *body);
/* The site's tunnel is gone: those that exchange packets with it are told. */
void passes_down(struct passes *passes, unsigned site);
/* Who may call whom has changed. */
void passes_review(struct passes *passes);

static inline bool passes_wants(const struct passes *passes, unsigned site, unsigned other)
{
    return passes->wants[site] >> other & 1;
}

/* Do packets of the one go to the other? */
static inline bool passes_open(const struct passes *passes, unsigned from, unsigned to)
{
    return passes_wants(passes, from, to) && passes_wants(passes, to, from);
}

#endif
