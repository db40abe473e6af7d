/*
 * The core of the inner-relay: the authority over all SAs, its links to the
 * dmz-relays, and the way of packets. No socket, no clock, no event loop.
 */
#ifndef INNER_RELAY_INNER_H
#define INNER_RELAY_INNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/gate.h"
#include "common/net/path.h"
#include "common/net/peers.h"
#include "common/sa/authority.h"
#include "common/sa/table.h"
#include "common/sa/target.h"
#include "common/tunnel/arrivals.h"
#include "common/tunnel/session.h"
#include "common/tunnel/streams.h"
#include "common/tunnel/ways.h"
#include "inner-relay/promises.h"

enum { INNER_DMZS_MAX = 8, INNER_FORWARDERS_MAX = 4 };
enum { INNER_LINKS_MAX = INNER_DMZS_MAX + INNER_FORWARDERS_MAX, INNER_LISTENERS_MAX = 8 };
/* Other sites whose media may pass the dmz-relay by, and the ways that it may go. */
enum { BYPASS_SITES = 32, BYPASS_WAYS = INNER_LINKS_MAX };

struct bypass;
struct inner;
struct inner_link;
struct pass_frame;
struct table;

/* How media travels between the pair; in the order in which inner-relay.ini(5) names them. */
enum inner_carrier {
    CARRIER_STREAM,    /* in TLS */
    CARRIER_UNORDERED, /* in sealed frames, on connections of their own */
    CARRIER_RAW,       /* the same, taken over from the kernel */
    CARRIER_AUTO,      /* what is better now, see ways.h */
};

/* A connection that carries media alone, of one thread. */
struct inner_media {
    struct inner_link *link; /* of that thread's core */
    uint8_t number;          /* 1 to WORKERS_MAX */
    bool carrier;            /* of a pair: the one with sealed frames */
    bool may_raw;            /* nothing here is in the way of its being taken over */
    struct session *session; /* NULL: no connection; owned by the connection */
    void *conn;              /* the daemon's */
};

/* What one [dmz NAME] section makes: an authority, and a tunnel that is up or not. */
struct inner_link {
    struct inner *inner;
    unsigned number; /* the owner of its SAs */
    const char *name;
    struct authority authority;
    struct streams streams;     /* forwards are added by the owner */
    struct session *session;    /* NULL: no connection; owned by the connection */
    enum inner_carrier carrier; /* that is wanted; the owner fills it in */
    bool forwarder;             /* a [forwarder NAME]: it has no SAs; the owner fills it in */
    struct inner_media *media[MEDIA_MAX]; /* this thread's that are up */
    unsigned media_count;
    bool proxied; /* the next connection is through an HTTP proxy; the owner says so */
    bool chooses; /* by ways: carrier = auto, and there is something to choose */
    struct ways ways;
    bool paired; /* each thread has ways of its own: the main core's pairs, by number - 1 */
    struct ways *pairs[WORKERS_MAX];
    const char *why;   /* media goes by stream, though that was not asked for; or NULL */
    struct queue left; /* what waited in the last of them when it ended: see inner_adopt() */
    struct verdict_counts counts; /* of frames that came through the tunnel */
    struct hello peer;            /* what the dmz-relay last said of itself */
    uint64_t instance;
    uint64_t changed_us;               /* when it last came up or went down */
    bool sites;                        /* it is up, and takes SITE frames, as we do */
    struct arrivals arrivals;          /* what its media ports hear, as it last said; */
    uint64_t arrivals_us;              /* at this time; 0: it did not */
    uint64_t reports, reports_ignored; /* SA-REPORTs; of SAs that are not (any more) this one's */
};

struct inner_hooks {
    /* There is something to send on this link, if it is up. */
    void (*kick)(void *ctx, struct inner_link *link);
    /* An SA was added or deleted: the state file is behind. */
    void (*changed)(void *ctx);
    /* Before an SA is deleted: a state file that is being written may have it already. */
    void (*deleted)(void *ctx, uint64_t id);
    /* Another thread has put something into this one's queues. Only where there are workers. */
    void (*wake)(void *ctx);
    /*
     * So many connections are to carry media alone, numbered from 1, or pairs of them where
     * link->paired: those of another epoch or instance, and all beyond this number, are to end.
     * NULL: there are never any.
     */
    void (*want_media)(void *ctx, struct inner_link *link, unsigned count);
    void *ctx;
};

/* What goes to other sites and comes from them. */
struct inner_sites {
    /* A tunnel is up, and its dmz-relay takes SITE frames, or it is gone. NULL: none are sent. */
    void (*link)(void *ctx, struct inner_link *link, bool up);
    /* A SITE or SITE-STATE frame came. A negative code ends the tunnel. */
    int (*frame)(void *ctx, struct inner_link *link, uint8_t type, struct reader *body,
                 uint64_t now_us);
    /* The next one for the dmz-relay: false when there is none. */
    bool (*pull)(void *ctx, struct inner_link *link, uint8_t *type, struct writer *body);
    void *ctx;
};

/* What a thread has heard of one way to another site: the newest probe that came. */
struct bypass_ear {
    uint64_t since_us; /* of ours, when the way was opened: what is older is answered by no probe */
    uint64_t clock_us; /* of the other site, in it; 0: none came */
    uint64_t came_us;  /* at this time of ours */
    uint64_t acked_us; /* our clock in the newest of our probes that has come there; 0: none has */
    uint64_t rtt_us;   /* the shortest one of late */
    uint32_t sent;     /* media that went by this way alone, */
    uint32_t taken;    /* media that came by it, genuine and new, all mod 2^32; */
    uint32_t theirs;   /* and what the other site had taken, as it says in the newest probe */
};

/* What a packet forwarder says of the sites that packets are exchanged with. */
struct inner_passes {
    /* A PASS-STATE came. NULL: nobody asks. */
    void (*state)(void *ctx, struct inner_link *link, const struct pass_frame *frame,
                  uint64_t now_us);
    void *ctx;
};

/* A direct path to another site; NULLs: there is none. */
struct inner_meetings {
    /* MEET or MEET-END came, or PUNCH. A negative code ends the tunnel. */
    int (*frame)(void *ctx, struct inner_link *link, uint8_t type, struct reader *body,
                 uint64_t now_us);
    /* A packet for the tunnel. True: it has gone the direct way, and is not for the tunnel. */
    bool (*media)(void *ctx, const struct sa *sa, const uint8_t *packet, size_t length,
                  uint64_t now_us);
    /* Is there a path to this site, so that what goes to the tunnel may have gone there, too? */
    bool (*is_open)(void *ctx, const char *site);
    void *ctx;
};

/* Who looks at all SAs: each comes once in a round of inner_work(). */
struct inner_seen {
    void (*seen)(void *ctx, const struct sa *sa); /* NULL: nobody */
    void *ctx;
};

struct inner_options {
    struct srtp_engine *engine;
    size_t max_sas;
    uint64_t max_age_us;
    size_t queue_octets; /* media queue of each link */
    uint32_t sa_rate;    /* octets per second, of SAs that do not say */
    uint32_t media_timeout_s;
    enum source_policy source_policy; /* of SAs that do not say; 0: strict */
    bool learns_ssrcs;                /* an SA may come without one */
    enum wire_view dmz_keys;          /* one of WIRE_REPLICA_: what dmz-relays are given of keys */
    uint64_t features;                /* FEATURE_ bits: what this side can */
    struct seal_store *seals;         /* for the keys of sealed frames; NULL: there are none */
    bool early;                       /* these are read as their segments come */
    const char *software;
    const char *engine_name; /* of SRTP, for display */
};

struct inner {
    struct inner_options options;
    struct table *table;
    struct budget *budget; /* of tries for unknown senders */
    struct path path;      /* of packets from inside */
    struct target_rules rules;
    struct peers peers; /* that speak RTP'; the dmz-relay has the last word */
    struct path_listener listeners[INNER_LISTENERS_MAX];
    size_t listener_count;
    struct verdict_counts hairpin; /* of packets from inside to inside, which see no tunnel */
    struct inner_link links[INNER_LINKS_MAX];
    size_t link_count;
    uint64_t next_id;
    struct promises promises; /* SSRCs that are nobody's but those' who were told them */
    struct table_walk aging;  /* looks for SAs that have been silent for too long */
    struct path_out out;
    struct inner_hooks hooks;
    struct inner_sites sites; /* filled in by the caller, too, as the next four */
    struct inner_passes passes;
    struct inner_meetings meetings, punchings; /* what has the latter's way has that */
    struct inner_seen media;
    struct bypass
        *bypass; /* the main core's; NULL: all media goes through the tunnels of its SAs */
    struct bypass_ear ears[BYPASS_SITES][BYPASS_WAYS]; /* this thread's */
    struct verdict_counts beside; /* of probes and copies, which no socket has received */
    struct inner *main; /* the core that this one works for; NULL: none, it has the authorities */
    struct inner *workers[WORKERS_MAX]; /* that work for this one */
    unsigned worker_count;
    bool left; /* a link of this worker has something left */
};

/*
 * Listeners, rules and peers are filled in by the caller afterwards. names: of the
 * [dmz NAME] sections, ended by NULL, must outlive the core. 0 or ERR_NOMEM.
 */
int inner_init(struct inner *inner, const struct inner_options *options, const char *const *names,
               const struct path_out *out, const struct inner_hooks *hooks);
/* All sessions must be freed. */
void inner_fini(struct inner *inner);
/* Once a second: begins a round of inner_work. */
void inner_tick(struct inner *inner);
/*
 * A piece of the round, much less than a millisecond: labels that have rested, SAs that
 * heard no media for too long. False: it is done.
 */
bool inner_work(struct inner *inner, uint64_t now_us);
/* NULL when there is none. name "": the first. */
struct inner_link *inner_find_link(struct inner *inner, const char *name);
struct sa *inner_find_sa(struct inner *inner, uint64_t id);
/* Has it no other direction, or one that is gone, or the SA with this id (0: none)? */
bool inner_is_single(struct inner *inner, const struct sa *sa, uint64_t id);
/*
 * Two SAs of one call know each other, whichever was added first: the one that sa names as its
 * reverse is told of it, if it is single. inner_untie(): it is told that it is single again.
 */
void inner_tie(struct inner *inner, const struct sa *sa);
void inner_untie(struct inner *inner, const struct sa *sa);
/*
 * Has no packet of it been accepted for so long, by whichever relay hears its sender first? One
 * that has heard nothing yet counts from when it was added or restored, or its timeout changed.
 */
bool inner_is_silent(const struct inner *inner, const struct sa *sa, uint32_t timeout_s,
                     uint64_t now_us);
/* Deletes it here and on its dmz-relay. */
void inner_delete(struct inner *inner, struct sa *sa, uint64_t now_us);
/*
 * The same in two steps of one turn: what was taken out is the caller's, to be disposed of, or to
 * be put back as it was. inner_put_back(): 0 or ERR_NOMEM, then it is disposed of; those that were
 * taken out after it have to be back, and those that were added since then to be gone.
 */
void inner_take_out(struct inner *inner, struct sa *sa, uint64_t now_us);
void inner_dispose(struct inner *inner, struct sa *sa);
int inner_put_back(struct inner *inner, struct sa *sa);
/* One that was added in this turn goes without a trace. */
void inner_forget(struct inner *inner, struct sa *sa);

/*
 * --- worker.c: the core of one more thread. It takes packets and frames of media, nothing else is
 * asked of it; main, which outlives it, is for a thread that holds the locks of all. Freed without
 * more.
 */
void inner_worker_init(struct inner *worker, struct inner *main, const struct path_out *out,
                       const struct inner_hooks *hooks, struct gate_pass *pass);
/*
 * The tunnel of a link that another thread has, under the locks of all: what is queued there will
 * be sent; control: the one of control alone. NULL: there is none. counts: see struct path.
 */
struct session *inner_worker_borrow(struct inner *worker, unsigned number, bool control,
                                    struct verdict_counts **counts);
/*
 * The session of a new connection that carries media alone, beside the one of main that carries
 * control, with HELLO queued. NULL without memory. inner_media_closed(): its owner frees it next,
 * and the main thread has work.
 */
struct session *inner_media_open(struct inner_media *media, const struct inner_link *main,
                                 uint64_t now_us);
void inner_media_closed(struct inner_media *media, uint64_t now_us);
/* Which it is one of; NULL: it is the only way. */
const struct ways *inner_media_ways(const struct inner_media *media);
/*
 * What waited in a connection of media that ended goes on over another one of its core; where
 * there is none, the main thread, which has the locks of all, gives it to any other one of the
 * link. inner_work() calls this.
 */
void inner_adopt(struct inner *inner);
/* What the workers have counted is the main one's from now on. */
void inner_gather(struct inner *inner);

/* --- link.c: makes the session of a new connection, and queues HELLO. NULL without memory. */
struct session *inner_link_open(struct inner_link *link, uint64_t wall_us, uint64_t now_us);
/* The connection is over; its owner frees the session next. */
void inner_link_closed(struct inner_link *link, uint64_t now_us);
/* "verify-only", as inner-relay.ini(5) has it. */
const char *inner_dmz_keys_name(enum wire_view dmz_keys);
/* What the dmz-relay advertises for this listener, "" = the first of the family; NULL: not known
 * (yet). */
const struct hello_listener *inner_link_listener(const struct inner_link *link, const char *name,
                                                 uint8_t family);

/* --- outbound.c: datagrams from inside, on their way into the tunnel. */
void outbound_init(struct inner *inner);
void outbound_packets(struct inner *inner, unsigned listener, bool rtcp_port,
                      const struct udp_packet *packets, size_t count, uint64_t now_us);

/* --- inbound.c: packets from the tunnel, at most SESSION_GROUP, on their way to phones. */
void inbound_frames(struct inner_link *link, const struct session_packet *packets, size_t count,
                    uint64_t now_us);
/*
 * The same of packets that another site, number site of bypass.h, has sent beside the dmz-relay of
 * link: they are good for SAs alone whose packets come from there. How many were of
 * their senders and new, also those that this side lets go no further: over the rate of their SA,
 * or without a destination. A replay is none: whoever stands between may copy packets.
 */
size_t inbound_beside(struct inner_link *link, unsigned site, const struct session_packet *packets,
                      size_t count, uint64_t now_us);
/* The same, by the site's name. Of one that has no number nothing is good. */
void inbound_past(struct inner_link *link, const char *site, const struct session_packet *packets,
                  size_t count, uint64_t now_us);
/* What became of a packet that went to inner.out; tag is what came with it, error an errno or 0. */
void inbound_sent(struct inner *inner, unsigned listener, bool rtcp_port, void *tag, int error);

#endif
