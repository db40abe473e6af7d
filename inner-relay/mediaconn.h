/*
 * The connections of media of each [dmz NAME], beside the one that carries control: made, made
 * anew, and with raw segments or without. The main thread says whether one is wanted, the rest is
 * the business of the thread that it belongs to.
 */
#ifndef INNER_RELAY_MEDIACONN_H
#define INNER_RELAY_MEDIACONN_H

#include <stddef.h>
#include <stdint.h>

struct daemon;
struct inner_link;
struct relay_link;
struct relay_media;
struct worker;

/* Before any connection of the link is made. */
void mediaconn_prepare(struct relay_link *link);
/* inner_hooks.want_media; ctx is the daemon. */
void mediaconn_want(void *ctx, struct inner_link *link, unsigned count);
/* What the main thread wants of this thread's: daemon_kind.woken. */
void mediaconn_woken(struct worker *worker);
/* The daemon stops, and this one has ended afterwards. */
void mediaconn_end(struct relay_media *media, const char *reason);
/* New settings, certificates and password. */
void mediaconn_reload(struct relay_media *media, const struct daemon *daemon);
/*
 * Once a second: those without raw segments that are to be tried with them again, and those whose
 * local port the raw socket does not see, end, to be made anew, once they have been without media
 * for 5 s, both ways.
 */
void mediaconn_tick(struct relay_link *link, uint64_t now_us);
/*
 * Why this one, which is up, was not taken over, and that it is tried again; "" where it was, or
 * was not wanted.
 */
void mediaconn_not_raw(const struct relay_media *media, char *out, size_t size);
/* Why one of them is read in order, and that this is to change; "" where that is not so. */
void mediaconn_in_order(const struct relay_link *link, char *out, size_t size);

#endif
