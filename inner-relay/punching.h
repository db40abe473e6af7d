/*
 * Media with another site by TCP that both open at once, relay-tunnel(7) "Two sites that connect to
 * each other at once": from the question where the other one is to the connection and its end. It
 * takes no raw socket, and no allow-spoofing: direct-to alone.
 */
#ifndef INNER_RELAY_PUNCHING_H
#define INNER_RELAY_PUNCHING_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct punchings;
struct site;

/* For this daemon, whose sites and calls are there, before meets_new(). NULL without memory. */
struct punchings *punchings_new(struct daemon *daemon);
/* Ends all of them at once: nothing may be begun any more. Accepts NULL. */
void punchings_stop(struct punchings *punchings);
/* Before sites and calls are freed; accepts NULL. */
void punchings_free(struct punchings *punchings);
/* Once a second: which there should be. */
void punchings_tick(struct punchings *punchings, uint64_t now_us);
/* The ini file was read again: what came to nothing need not wait any more. */
void punchings_reloaded(struct punchings *punchings);
/* What a batch of packets has put there goes out. */
void punchings_flush(struct punchings *punchings);
/* Is one under way, or good, so that nothing else need be tried? punchings may be NULL. */
bool punchings_hope(const struct punchings *punchings, const struct site *site);
/* Is that of the site good for long enough that no meeting is needed beside it? May be NULL. */
bool punchings_are_steady(const struct punchings *punchings, const struct site *site,
                          uint64_t now_us);
/* The media path to the site, and why it is not this one: for call show, after meets_add(). */
void punchings_add(json_t *row, const struct punchings *punchings, const struct site *site);
/* "off", "asking", "connecting", "open", "proven", with why: for status. */
json_t *punchings_report(const struct punchings *punchings, const char *site);

#endif
