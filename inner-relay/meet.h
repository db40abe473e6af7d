/*
 * Media with another site past the dmz-relay, relay-tunnel(7) "Where two sites meet": the meeting
 * with each of them, from a connection of our own to the direct path and its end.
 */
#ifndef INNER_RELAY_MEET_H
#define INNER_RELAY_MEET_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct meets;
struct site;

/* For the meetings of this daemon, whose sites and calls are there. NULL without memory. */
struct meets *meets_new(struct daemon *daemon);
/* Ends all of them at once: nothing may be begun any more. Accepts NULL. */
void meets_stop(struct meets *meets);
/* Before sites and calls are freed; accepts NULL. */
void meets_free(struct meets *meets);
/* Once a second: which meetings there should be. */
void meets_tick(struct meets *meets, uint64_t now_us);
/* What a batch of packets has put there goes out. */
void meets_flush(struct meets *meets);
/* The media path to the site, and where both sites' connections come from: for call show. */
void meets_add(json_t *row, const struct meets *meets, const struct site *site);
/* "off", "waiting", "open", "proven", ..., with why: for status. */
json_t *meets_report(const struct meets *meets, const char *site);

#endif
