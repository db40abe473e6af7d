/*
 * The protocol of one tunnel connection, above TLS and below the cores: HELLO,
 * heartbeat, the three send queues, and what frames may come when. Octets and
 * times in, octets out; no socket, no clock. relay-tunnel(7) is its text.
 *
 * What goes out, in this order: urgent control (bounded: overflow ends the
 * session), live SA changes (pulled), media (bounded by age and octets), bulk
 * (pulled only when no media waits, but for a frame now and then).
 */
#ifndef COMMON_TUNNEL_SESSION_H
#define COMMON_TUNNEL_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/reader.h"
#include "common/base/verdict.h"
#include "common/base/writer.h"
#include "common/tunnel/hello.h"
#include "common/tunnel/queue.h"

struct seal_store;
struct ways;

enum session_role { SESSION_INNER, SESSION_DMZ };

enum session_state {
    SESSION_HELLO, /* HELLO (dmz-relay) or HELLO-ACK (inner-relay) is awaited */
    SESSION_UP,
    SESSION_ENDED, /* session_reason() says why */
};

/* A packet that came out of the tunnel; the octets are valid until the hook returns. */
struct session_packet {
    uint32_t label;
    const uint8_t *data;
    size_t length;
};

enum { SESSION_GROUP = 8 };

/*
 * What a session asks of its daemon. All are called from within session_received and
 * session_output. Each may be NULL: all may come up, nobody is told, a control frame is a protocol
 * error, and there is nothing to pull.
 */
struct session_hooks {
    /*
     * May the other side come up? The dmz-relay fills in reply, the inner-relay's is NULL. A
     * negative code with the reason why not: it is sent in BYE.
     */
    int (*hello)(void *ctx, const struct hello *theirs, struct hello *reply,
                 char reason[BYE_REASON_SIZE]);
    /* It may carry media from now on: a connection that switches has done so. */
    void (*up)(void *ctx, const struct hello *theirs);
    /* SA, sync and stream frames. A negative code ends the session as a protocol error. */
    int (*control)(void *ctx, uint8_t type, struct reader *body, uint64_t now_us);
    /* 1 to SESSION_GROUP packets that came one after another. */
    void (*media)(void *ctx, const struct session_packet *packets, size_t count, uint64_t now_us);
    /* Frames that are due; false when none is. body has room for a whole frame. */
    bool (*pull_live)(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us);
    bool (*pull_bulk)(void *ctx, uint8_t *type, struct writer *body, uint64_t now_us);
    /* 1 to SESSION_GROUP packets were dropped after they had been queued. */
    void (*dropped)(void *ctx, const uint32_t *labels, size_t count, enum verdict verdict);
    /* The last call: ctx is not used any more. */
    void (*freed)(void *ctx);
};

/*
 * A connection of media whose HELLO and HELLO-ACK have FEATURE_SEALED switches to sealed frames:
 * the inner-relay says SWITCH and nothing more, the dmz-relay answers SWITCH-OK. What a session
 * says and hears afterwards is the same as before, and its owner seals and opens it (sealed.h).
 */
enum session_wire {
    SESSION_PLAIN,
    SESSION_SWITCHING, /* SWITCH, or SWITCH-OK, is the last that session_output() gives */
    SESSION_SEALED,
};

/*
 * A connection of media whose HELLO and HELLO-ACK have FEATURE_RAW as well is taken over by raw
 * sockets before the inner-relay gives it any: when it hears the first sealed frame it says TAKE,
 * and nothing more in the kernel's TCP, the dmz-relay answers TAKE-OK and says nothing more there.
 * The inner-relay repeats TAKE-OK in segments of its own until it hears one of the dmz-relay's. The
 * owner does what this asks for.
 */
enum session_take {
    SESSION_TAKE_NONE,     /* the kernel's TCP has it */
    SESSION_TAKE_WAITING,  /* dmz-relay: for TAKE; inner-relay: for any frame */
    SESSION_TAKE_ASKED,    /* inner-relay: for TAKE-OK; nothing else is sent */
    SESSION_TAKE_PREPARE,  /* the other side says no more: the owner is to note the numbers, */
                           /* and to call session_take_prepared() */
    SESSION_TAKE_ANSWERED, /* dmz-relay: for the inner-relay's segments; nothing else is sent */
    SESSION_TAKE_OVER,     /* the owner is to take it over, and to call session_taken() */
    SESSION_TAKE_PROVING,  /* inner-relay: for the dmz-relay's segments */
    SESSION_TAKE_DONE,
};

struct session_counters {
    uint64_t frames_in, frames_out, octets_in, octets_out;
    uint64_t media_in, media_out, late;
    uint64_t larger; /* packets that went by another connection: session_for() */
};

struct session;

/*
 * max_age_us: media that waited longer is dropped. queue_octets: the bound of
 * the media queue. NULL without memory.
 */
struct session *session_new(enum session_role role, const struct session_hooks *hooks, void *ctx,
                            uint64_t max_age_us, size_t queue_octets, uint64_t now_us);
/* What waits in one that is over, to be given to another one, or counted, and freed. */
void session_take_queue(struct session *session, struct queue *queue);
/* Packets that still wait are counted as tunnel-down. Accepts NULL. */
void session_free(struct session *session);
/* The time that HELLO may take counts from here: the connection's first moment. */
void session_set_started(struct session *session, uint64_t started_us);
/*
 * Where keys of sealed frames are kept; it lives longer. Who offers FEATURE_SEALED to a connection
 * of media must have said so before it is up.
 */
void session_set_seals(struct session *session, struct seal_store *seals);
struct seal_store *session_seals(const struct session *session);
/*
 * It is one of two ways, which outlive it; NULL: it is the only one. On a connection of media,
 * whose HELLO and HELLO-ACK have FEATURE_PROBE, session_media() goes by them, whichever of the two
 * it is. What comes twice comes once.
 */
void session_set_ways(struct session *session, struct ways *ways);
/* Of one that was taken over: is the next segment to be left out, to see what comes of it? */
bool session_wants_hole(const struct session *session);
void session_left_hole(struct session *session);
/* What PROBE-REPORTs are to say: of segments that are read as they come. */
void session_set_early(struct session *session, bool early, uint64_t overtook);
/* inner-relay: queues HELLO. */
void session_start(struct session *session, const struct hello *hello);

/* Memory for octets from the tunnel; *size is never 0 while the session lives and nothing is
 * pending. */
uint8_t *session_space(struct session *session, size_t *size);
/*
 * count octets were written there. Takes a helping of frames, so that the caller can look at the
 * clock in between; one ends with HELLO of a connection that carries media alone, which up() may
 * have given to another thread. 0, or negative when the session has ended.
 */
int session_received(struct session *session, size_t count, uint64_t now_us);
/* Frames may be left of what was received: call session_received with 0 octets before more is read.
 */
bool session_pending(const struct session *session);
/* Of the path, as session_set_path() has said. */
size_t session_room(const struct session *session);
/*
 * Nothing but media waits to be sent, as far as is known: since when, and about how many octets.
 * False: there is none, or something is more urgent.
 */
bool session_media_waits(const struct session *session, uint64_t *since_us, size_t *octets);
/*
 * Writes what is due into memory of at least 2 * FRAME_MAX_OCTETS and returns
 * how many octets; 0: nothing is. What was returned cannot be taken back.
 */
size_t session_output(struct session *session, uint8_t *memory, size_t size, uint64_t now_us);
/* Keys are in what session_output wrote last: to be wiped once it is sent. */
bool session_output_has_keys(const struct session *session);
/* Heartbeat and dead-peer detection. 0, or negative when the session has ended. */
int session_tick(struct session *session, uint64_t now_us);
/* When session_tick has to be called next. */
uint64_t session_deadline(const struct session *session);

/*
 * Queues a packet, and counts it in counts once its fate is known: accepted when it goes to
 * the tunnel, else tunnel-late or tunnel-down. counts must live as long as the session.
 */
void session_media(struct session *session, uint32_t label, const uint8_t *packet, size_t length,
                   struct verdict_counts *counts, uint64_t now_us);
/* A packet that goes two ways (ways.h): one of the two is the copy, which counts nowhere. */
struct session_mark {
    bool twin, copy;
    uint32_t number;
};
/* What session_media() does where there is one way. counts is NULL for a copy, mark for no twin. */
void session_queue(struct session *session, uint32_t label, const uint8_t *packet, size_t length,
                   struct verdict_counts *counts, const struct session_mark *mark, uint64_t now_us);
/* Queues an urgent control frame; the session ends when the queue is full. */
void session_control(struct session *session, uint8_t type, const void *body, size_t length);
/* Queues BYE; nothing is accepted afterwards. */
void session_bye(struct session *session, const char *reason);

/* Packets up to so many octets fit into a segment of this connection; before it is said, all do. */
void session_set_packet_room(struct session *session, size_t octets);
bool session_takes(const struct session *media, size_t length);
/*
 * Which of the two takes a packet of this length: the one that carries media alone, or the stream
 * where no segment takes it. That may not be there, or not be this thread's: NULL.
 */
struct session *session_for(struct session *media, struct session *stream, size_t length);

void session_set_max_age(struct session *session, uint64_t max_age_us);
/*
 * What is known of the way that the next output takes. The time for what lies before a packet is
 * taken off the age that it may have.
 */
struct session_path {
    size_t held;           /* octets that the kernel has not sent yet */
    size_t room;           /* no more media than this; a packet always */
    uint32_t ns_per_octet; /* that the path needs; 0: not known */
    uint32_t behind_us;    /* for what is on the path already; most of a packet's age at most */
    uint32_t spare_us;     /* so much of both together may be spent */
    uint32_t rtt_us;       /* smoothed; 0: not known */
    uint32_t lost;         /* segments that were sent again, in all */
    bool long_queue;       /* bulk.h */
};
void session_set_path(struct session *session, const struct session_path *path, uint64_t now_us);
/* The authority's version, for PING. */
void session_set_sa_version(struct session *session, uint64_t version);

/* What comes from now on is sealed: SWITCH, or SWITCH-OK, was the last of what did not. */
bool session_input_is_sealed(const struct session *session);
/* All that session_output() has given is sent; call it when it gives nothing while SWITCHING. */
void session_output_is_sent(struct session *session);
enum session_wire session_wire(const struct session *session);

/* May it be taken over? To be said before HELLO, by the inner-relay, and before HELLO comes. */
void session_set_raw(struct session *session, bool may);
enum session_take session_take(const struct session *session);
/* Have both sides agreed on that it will be? Known once it is up. */
bool session_may_be_taken(const struct session *session);
/*
 * What PREPARE asks for is done. refused, or NULL: why it cannot be taken over; it then goes on as
 * it is, and session_take_refused() says why on both sides.
 */
void session_take_prepared(struct session *session, const char *refused);
/* What goes out now goes by the raw socket. */
void session_taken(struct session *session);
/* While PROVING, from time to time. */
void session_take_again(struct session *session);
/*
 * Of one that has ended: was nothing heard after it had been taken over? Or did it end on the way
 * there, or was it refused, as the two before it were? hung, which the owner keeps, counts these in
 * a row. session may be NULL.
 */
bool session_take_has_failed(const struct session *session, unsigned *hung);
/* "": it was not. */
const char *session_take_refused(const struct session *session);

/* The number of a connection of media; 0: it carries control, or is not up. */
uint8_t session_number(const struct session *session);

enum session_role session_role(const struct session *session);
enum session_state session_state(const struct session *session);
const char *session_reason(const struct session *session);
const struct session_counters *session_counters(const struct session *session);
/* There may be bulk that stands back because of the path: try again soon. */
bool session_bulk_is_held(const struct session *session);
/* Of the last PING; 0: none was answered yet. */
uint64_t session_rtt_us(const struct session *session);
size_t session_queued(const struct session *session);
/*
 * Half of the room for urgent control is taken: until some of it has gone out,
 * nothing should be read that may make more (each refused SA-PUT makes an SA-NAK).
 */
bool session_congested(const struct session *session);
/* What the other side said in HELLO or HELLO-ACK; valid once it is up. */
const struct hello *session_peer(const struct session *session);
uint64_t session_up_since(const struct session *session);

#endif
