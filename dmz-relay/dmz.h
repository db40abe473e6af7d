/*
 * The core of the dmz-relay: sites, their replicas, and the way of packets. No
 * socket, no clock, no event loop: the daemon and the tests give it packets,
 * frames and times, and it says what leaves where.
 */
#ifndef DMZ_RELAY_DMZ_H
#define DMZ_RELAY_DMZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/gate.h"
#include "common/net/path.h"
#include "common/net/peers.h"
#include "common/sa/rate.h"
#include "common/sa/replica.h"
#include "common/sa/target.h"
#include "common/tunnel/session.h"
#include "common/tunnel/streams.h"
#include "common/tunnel/ways.h"
#include "dmz-relay/exchange.h"
#include "dmz-relay/passes.h"

enum { DMZ_SITES_MAX = EXCHANGE_SITES_MAX, DMZ_LISTENERS_MAX = 8 };

struct dmz;
struct table;

/* One connection of a site, from TLS to its end. */
struct dmz_link {
    struct dmz *dmz;
    unsigned site;
    struct session *session; /* owned by the connection */
    uint64_t epoch, instance;
    bool spoke;        /* of SAs */
    uint8_t media;     /* number of a connection that carries media alone; 0: it carries control */
    bool seals;        /* that one is to have sealed frames */
    struct ways *ways; /* it is one of; NULL: it is the only one */
    void *conn;        /* the daemon's */
};

/* One name of the list of sites: at most one link of it is up, and those that go with that one. */
struct dmz_site {
    const char *name;
    struct dmz_link *link;             /* the one that carries control and is up; NULL: none is */
    struct dmz_link *media[MEDIA_MAX]; /* this thread's that carry media alone and are up */
    unsigned media_count;
    bool chooses; /* by ways: the inner-relay wants it so */
    struct ways ways;
    /* Where each thread has ways of its own: by number - 1; of the main core. NULL: none so far. */
    struct ways *pairs[WORKERS_MAX];
    struct queue left; /* what waited in the last of them when it ended: see dmz_adopt() */
    struct replica replica;
    struct streams streams;            /* of the link that is up; forwards are added by the owner */
    bool stats_due;                    /* STATS, before the next round of SA-REPORTs */
    struct verdict_counts counts;      /* of frames that came through the tunnel */
    struct rate passing[PASS_NUMBERS]; /* this thread's: what goes to other sites without SAs */
    uint64_t changed_us;               /* when it last came up or went down */
    uint64_t left_us;                  /* stale-hold counts from here */
    uint64_t connects;
    char engine[NAME_SIZE]; /* of its SRTP, as it last said; "": not known */
    char last_error[BYE_REASON_SIZE + 64];
};

struct dmz_hooks {
    /* Ends a connection: another of the same site takes over. */
    void (*close_link)(void *ctx, struct dmz_link *link, const char *reason);
    /* There is something to send on this link. */
    void (*kick)(void *ctx, struct dmz_link *link);
    /* Another thread has put something into this one's queues. Only where there are workers. */
    void (*wake)(void *ctx);
    /* A connection of media is up: it is the thread's of link->dmz from now on. */
    void (*move_link)(void *ctx, struct dmz_link *link);
    void *ctx;
};

/* Connections where two sites meet; filled in by the caller, NULLs: there are none. */
struct dmz_meetings {
    void (*take)(void *ctx, struct dmz_link *link, uint64_t number);
    /* MEET-END came. Negative: it cannot be read. */
    int (*frame)(void *ctx, unsigned site, struct reader *body);
    /* The connection of the site that carries control is gone. */
    void (*down)(void *ctx, unsigned site);
    void *ctx;
};

struct places;

struct dmz_options {
    struct srtp_engine *engine;
    size_t max_sas;
    uint32_t site_quota;
    uint64_t max_age_us;
    uint64_t stale_hold_us;
    size_t queue_octets;      /* media queue of each link */
    uint64_t features;        /* FEATURE_ bits: what this side can */
    struct seal_store *seals; /* for the keys of sealed frames; NULL: there are none */
    bool early;               /* these are read as their segments come */
    const char *software;
    const char *engine_name; /* of SRTP, for display */
};

struct dmz {
    struct dmz_options options;
    struct table *table;
    struct budget *budget; /* of tries for unknown senders */
    struct path path;      /* of packets from outside */
    struct target_rules rules;
    struct peers peers; /* that speak RTP'; our own listeners too, as "self" */
    struct path_listener listeners[DMZ_LISTENERS_MAX];
    size_t listener_count;
    struct verdict_counts own;     /* of packets to our own address, which no socket sees */
    struct verdict_counts hairpin; /* of packets that leave without having seen the tunnel */
    struct dmz_site sites[DMZ_SITES_MAX];
    size_t site_count;
    struct exchange *exchange; /* between them; of the main core */
    struct passes passes;      /* as a packet forwarder; of the main core */
    struct path_out out;
    struct dmz_hooks hooks;
    struct dmz_meetings meetings;
    struct places *places; /* filled in by the caller, too; NULL: nobody is told where sites are */
    struct dmz *main; /* the core that this one works for; NULL: none, it has all sites' replicas */
    struct dmz *workers[WORKERS_MAX]; /* that work for this one */
    unsigned worker_count;
    bool left; /* a site of this worker has something left */
};

/*
 * Listeners, rules and peers are filled in by the caller afterwards. names: of the sites, ended by
 * NULL, must outlive the core. 0 or ERR_NOMEM.
 */
int dmz_init(struct dmz *dmz, const struct dmz_options *options, const char *const *names,
             const struct path_out *out, const struct dmz_hooks *hooks);
/* All links must be closed. */
void dmz_fini(struct dmz *dmz);
/*
 * Once a second: SAs of sites that stayed away longer than stale-hold are given up, and a round of
 * SA-REPORTs begins.
 */
void dmz_tick(struct dmz *dmz, uint64_t now_us);
/* rules and peers have changed: the sites are told which of their SAs these refuse (review.h). */
void dmz_rules_changed(struct dmz *dmz);
/* SAs that a sync or dmz_tick left behind are to be deleted, or packets have taught something. */
bool dmz_has_work(const struct dmz *dmz);
/*
 * A piece of what is due, much less than a millisecond: deletes some of them, and
 * old keys whose time is over. False: nothing is left.
 */
bool dmz_work(struct dmz *dmz, uint64_t now_us);

/*
 * --- worker.c: the core of one more thread. It takes packets and frames of media, nothing else is
 * asked of it; main, which outlives it, is for a thread that holds the locks of all. Freed without
 * more.
 */
void dmz_worker_init(struct dmz *worker, struct dmz *main, const struct path_out *out,
                     const struct dmz_hooks *hooks, struct gate_pass *pass);
/*
 * The tunnel of a site that another thread has, under the locks of all: what is queued there will
 * be sent; control: the one of control alone. NULL: there is none. counts: see struct path.
 */
struct session *dmz_worker_borrow(struct dmz *worker, unsigned site, bool control,
                                  struct verdict_counts **counts);
/*
 * A connection that carries media alone: may it come up? It goes with the one that carries control
 * and has its epoch and instance. Then it comes up at the core of the thread that it is for, and is
 * gone: the main thread has work then.
 */
int dmz_media_hello(const struct dmz_link *link, const struct hello *theirs,
                    char reason[BYE_REASON_SIZE]);
void dmz_media_up(struct dmz_link *link, const struct hello *theirs);
void dmz_media_closed(struct dmz_link *link, uint64_t now_us);
/*
 * What waited in a connection of media that ended goes on over another one of its core; where
 * there is none, the main thread, which has the locks of all, gives it to any other one of the
 * site. dmz_work() calls this.
 */
void dmz_adopt(struct dmz *dmz);
/* All of a site end: the one that carries control is gone. */
void dmz_media_end(struct dmz *dmz, unsigned site, const char *reason);
/* Calls for each of them. */
void dmz_media_each(struct dmz *dmz, void (*each)(struct dmz_link *link, void *ctx), void *ctx);
/* What the workers have counted is the main one's from now on. */
void dmz_gather(struct dmz *dmz);

/* --- site.c: links. NULL for a name that is no site's, or without memory. */
struct dmz_link *dmz_link_new(struct dmz *dmz, const char *name, uint64_t now_us);
/* The connection is over. Its owner frees the session next, and the link with it. */
void dmz_link_closed(struct dmz_link *link, const char *reason, uint64_t now_us);

/* Does the other side want this one's direction to be chosen by struct ways? */
bool dmz_link_chooses(const struct dmz_link *link, const struct hello *theirs);

/* --- inbound.c: datagrams from outside, on their way into the tunnel. */
void inbound_init(struct dmz *dmz);
/* The connection of media of this core for what is spread so; NULL: it has none. */
struct session *inbound_media(const struct dmz_site *site, uint32_t spread);
void inbound_packets(struct dmz *dmz, unsigned listener, bool rtcp_port,
                     const struct udp_packet *packets, size_t count, uint64_t now_us);

/*
 * RTP' to our own address that would leave through this listener: it comes in as if a peer had
 * sent it from there. rtcp_port: to the port for RTCP.
 */
void inbound_own(struct dmz *dmz, unsigned listener, bool rtcp_port, const uint8_t *data,
                 size_t length, uint64_t now_us);

/* --- outbound.c: packets from the tunnel, at most SESSION_GROUP, on their way out. */
void outbound_frames(struct dmz_site *site, struct dmz *dmz, const struct session_packet *packets,
                     size_t count, uint64_t now_us);
/* A packet that came in, and that goes out again. ctx: the struct dmz. */
void outbound_turn(void *ctx, const struct path_found *found, uint64_t now_us);
/* What became of a packet that went to dmz.out; tag is what came with it, error an errno or 0. */
void outbound_sent(struct dmz *dmz, unsigned listener, bool rtcp_port, void *tag, int error);

#endif
