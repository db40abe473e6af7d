/*
 * The connection of its own that a meeting has to the dmz-relay: made from a port of ours, switched
 * to sealed frames, and taken from the kernel once both ends have told their numbers by one frame
 * each. From then on nobody says anything there but that what comes has come, until each NAT on the
 * way is told that it is over.
 */
#ifndef INNER_RELAY_MEETCONN_H
#define INNER_RELAY_MEETCONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/carrier/deaf.h"
#include "common/carrier/track.h"
#include "common/tunnel/rawreader.h"

struct conn;
struct connector;
struct daemon;
struct inner_link;
struct rawsocket;
struct seal;
struct session;

enum meetconn_state {
    MEETCONN_NONE,
    MEETCONN_COMING,  /* it is being made */
    MEETCONN_SHAKING, /* one frame each way tells its numbers */
    MEETCONN_DEAF,    /* the kernel has nothing to do with it */
    MEETCONN_RESET,   /* it is over, and the kernel is to believe that */
};

struct meetconn_hooks {
    /* It is deaf now: what comes goes to frames(). */
    void (*deaf)(void *ctx, uint64_t now_us);
    /* Data of a segment, which may be changed. True: at least one frame was genuine. */
    bool (*frames)(void *ctx, uint8_t *at, size_t left, uint64_t now_us);
};

/* 0 is none. */
struct meetconn {
    struct daemon *daemon;
    const struct inner_link *link;
    const struct meetconn_hooks *hooks;
    void *ctx;
    enum meetconn_state state;
    uint64_t number; /* of the meeting */
    struct connector *connector;
    struct conn *conn;
    struct session *session;
    bool up, broken, listens;
    int fd;
    struct addr local, remote;
    struct seal *shake;
    uint64_t shaken_us;
    struct rawreader_client client;
    struct deaf deaf;
    struct track track; /* once it is deaf */
    uint64_t reset_us;  /* when it was last said that it is over, */
    unsigned resets;    /* and how often */
};

/*
 * Makes one; label is for the log, and must outlive it, as what else is given. It does not move.
 * 0, or ERR_NOMEM and it is none.
 */
int meetconn_begin(struct meetconn *conn, struct daemon *daemon, const struct inner_link *link,
                   uint64_t number, const char *label, const struct meetconn_hooks *hooks,
                   void *ctx);
/* What is due by now: each few milliseconds. meetconn_flush() must follow. */
void meetconn_step(struct meetconn *conn, uint64_t now_us);
void meetconn_flush(struct meetconn *conn);
/* It has ended before it was deaf. */
bool meetconn_is_broken(const struct meetconn *conn);
bool meetconn_is_deaf(const struct meetconn *conn);
/* Octets that have come there. */
uint32_t meetconn_received(const struct meetconn *conn);
/* To send segments by; NULL: there is none. */
struct rawsocket *meetconn_raw(const struct meetconn *conn);
/* Ends it: each NAT on the way is told. Then meetconn_is_over() again and again. */
void meetconn_reset(struct meetconn *conn, uint64_t now_us);
/* The same where there is no time: each NAT is told as often, without a pause in between. */
void meetconn_reset_at_once(struct meetconn *conn, uint64_t now_us);
/*
 * Has that been said often enough, since it may be lost, and will the kernel say nothing when it is
 * closed? Does what is missing.
 */
bool meetconn_is_over(struct meetconn *conn, uint64_t now_us);
/* At once; it is none then. */
void meetconn_close(struct meetconn *conn);

/*
 * Is this a frame of the dmz-relay that has not come before? Whoever has seen one can send it again
 * with a TCP header of his own. Leaves it as it is.
 */
bool meetconn_is_pong(struct seal *seal, const uint8_t *at, size_t left);

#endif
