/*
 * Byte streams beside the media of one tunnel connection: what comes in at a
 * [forward NAME] with "listen" on one side goes on to the "to" of the same name
 * on the other. Each stream has a window of its own, in both directions, so that
 * who does not read stops its own sender only. Octets, states and times; no
 * socket, no clock. Whoever has the sockets is asked by stream_ends.
 *
 * Nothing is kept of what goes out: octets are taken from the local end when the
 * tunnel has room for them, after all media.
 */
#ifndef COMMON_TUNNEL_STREAMS_H
#define COMMON_TUNNEL_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"
#include "common/tunnel/streamwire.h"

struct stream;
struct streams;
struct stream_forward;

struct stream_list {
    struct stream *first, *last;
    size_t count;
};

struct stream_counts {
    uint64_t opened;
    uint64_t refused;   /* max-streams, max-half-open or max-per-client, or the tunnel was down */
    uint64_t failed;    /* the local end could not be connected, or broke */
    uint64_t reset;     /* the other side ended it so */
    uint64_t displaced; /* half-open, the oldest, and in the way of a newer one */
    uint64_t timeouts;  /* half-open or idle for too long */
    uint64_t cut;       /* the tunnel went down */
    uint64_t octets_in, octets_out; /* out of the tunnel, into it */
};

/*
 * What a stream asks of its local end, which is what open() returned or streams_open() was given.
 * All may be called from any function below.
 */
struct stream_ends {
    /*
     * The other side opens one: connect it, and call stream_connected() or stream_broken() some
     * time later. NULL: it cannot be.
     */
    void *(*open)(struct stream_forward *forward, struct stream *stream, const struct addr *client,
                  const struct addr *server);
    /*
     * Up to size octets that the end has for the other side. Their number, or 0 for none now:
     * stream_readable() is called when there are; ERR_CLOSED: there will be no more; another
     * negative code: it is broken.
     */
    int (*take)(void *end, uint8_t *memory, size_t size);
    /*
     * Octets for the end. How many it took; when not all, stream_writable() is called as soon as it
     * takes more. Negative: it is broken.
     */
    int (*give)(void *end, const uint8_t *data, size_t length);
    /* After the last octets: there will be no more. */
    void (*finish)(void *end);
    /* The last call for this end. broken: in another way than by both ends' will. */
    void (*close)(void *end, bool broken);
};

/* One [forward NAME]. The first part is filled in by the owner, before streams_add(). */
struct stream_forward {
    char name[NAME_SIZE];
    bool listens; /* opens streams; else streams of this name are connected here */
    unsigned max_streams, max_half_open;
    unsigned max_per_client;        /* of those that it opens; of IPv6, a /64 is one client */
    uint64_t half_open_us, idle_us; /* idle_us 0: never */
    const struct stream_ends *ends;
    void *owner; /* for open() */

    struct stream_forward *next;
    struct stream_list half_open; /* the oldest first */
    struct stream_list open;      /* the longest silent first */
    size_t count;                 /* of those and of what is about to end */
    struct stream_counts counts;
};

struct streams_hooks {
    /* There is something to pull. */
    void (*kick)(void *ctx);
    /* Sends an urgent STREAM-RESET to a STREAM-OPEN that cannot be. */
    void (*refuse)(void *ctx, const uint8_t *body, size_t length);
};

enum { STREAMS_CHAINS = 64 };

struct streams {
    const struct streams_hooks *hooks;
    void *ctx;
    bool inner; /* opens odd numbers, and says no addresses */
    bool up;    /* there is a tunnel, and the other side knows streams */
    uint32_t next_number;
    uint32_t life; /* streams of earlier connections have another one */
    struct stream_forward *forwards;
    struct stream *chain[STREAMS_CHAINS]; /* by number */
    struct stream_list all;
    struct stream_list doomed; /* of connections that are over: streams_work() closes them */
    struct stream_list queue;  /* may have something to send; in turn */
    uint64_t unknown;          /* refused: no forward of this name */
};

void streams_init(struct streams *streams, bool inner, const struct streams_hooks *hooks,
                  void *ctx);
/* Closes all ends, and forgets the forwards. */
void streams_fini(struct streams *streams);
/* forward must outlive streams. */
void streams_add(struct streams *streams, struct stream_forward *forward);

/* A tunnel is up. features: the other side's FEATURE_ bits. */
void streams_up(struct streams *streams, uint64_t features);
/* It is gone, and all streams with it: their ends are closed by and by in streams_work(). */
void streams_down(struct streams *streams);
bool streams_has_work(const struct streams *streams);
/* A piece of what is due: ends streams whose time is over. False: nothing is left. */
bool streams_work(struct streams *streams, uint64_t now_us);

/*
 * A local end came to a forward that listens. client and server: who connected, and to what address
 * of ours. The oldest half-open one makes room for it. NULL when there may be none now (counted as
 * refused) or without memory: the end is the caller's still.
 */
struct stream *streams_open(struct streams *streams, struct stream_forward *forward, void *end,
                            const struct addr *client, const struct addr *server, uint64_t now_us);
/* A STREAM frame came. ERR_PROTOCOL: no honest peer sends it. */
int streams_frame(struct streams *streams, uint8_t type, struct reader *body, uint64_t now_us);
/*
 * The next frame that is due: false when none is. *more: not all have been asked, kick was not
 * called for them.
 */
bool streams_pull(struct streams *streams, uint8_t *type, struct writer *body, bool *more,
                  uint64_t now_us);

/* What happens to a local end. After stream_broken() it is gone: close() was called. */
void stream_connected(struct stream *stream, uint64_t now_us);
void stream_readable(struct stream *stream);
void stream_writable(struct stream *stream, uint64_t now_us);
/* reason is for the other side. */
void stream_broken(struct stream *stream, const char *reason);

#endif
