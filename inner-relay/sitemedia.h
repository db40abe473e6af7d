/*
 * Media between sites: SAs whose packets go to another site of the same dmz-relay, or come from
 * there, are found on both sides by the key that both have, whoever has made the call: SIP,
 * relayctl call place, or two sa add. Who receives says so in the sessions of sites.h, to those who
 * may be the sender: TAKES, with the label that it knows the SA by; the sender says GIVES. Neither
 * shows the key, nor can another site use what it hears. No socket, no clock.
 */
#ifndef INNER_RELAY_SITEMEDIA_H
#define INNER_RELAY_SITEMEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inner-relay/inner.h"
#include "inner-relay/sites.h"

struct sitemedia;

/* Takes inner->media. Both must outlive it, or sites be freed right before. NULL without memory. */
struct sitemedia *sitemedia_new(struct inner *inner, struct sites *sites);
/*
 * known: said of each SA once it is known with which site it is, with what sitemedia_find() says,
 * and again now and then; site NULL: it is not known any more.
 */
void sitemedia_set_hook(struct sitemedia *sitemedia,
                        void (*known)(void *ctx, struct sa *sa, struct site *site, uint32_t label),
                        void *ctx);
/* Accepts NULL. */
void sitemedia_free(struct sitemedia *sitemedia);
/* Once a second: begins a round of sitemedia_work. */
void sitemedia_tick(struct sitemedia *sitemedia);
/* A piece of the round: what is to be said again, and which SAs are gone. False: it is done. */
bool sitemedia_work(struct sitemedia *sitemedia, uint64_t now_us);

/*
 * The site where the packets of this SA go to, or where they come from; NULL: not known, or no
 * site. Where they go to, *label is the SA's label there; label may be NULL.
 */
struct site *sitemedia_find(const struct sitemedia *sitemedia, const struct sa *sa,
                            uint32_t *label);
/* How many SAs are known to be with that site. */
size_t sitemedia_count(const struct sitemedia *sitemedia, const struct site *site);
/* How many SAs may be with some site. */
size_t sitemedia_held(const struct sitemedia *sitemedia);

#endif
