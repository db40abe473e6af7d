/*
 * The two ways of media between a pair: a stream, and a connection of media with sealed frames.
 * The stream is the connection that carries control; where several threads share media, each
 * connection with sealed frames has a stream of its own beside it, which carries media alone. Which
 * of the two a packet takes says carrier/choice.h, for this side's direction; what takes both has a
 * number, and the receiver lets one of the two through. One thread.
 */
#ifndef COMMON_TUNNEL_WAYS_H
#define COMMON_TUNNEL_WAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/reader.h"
#include "common/base/verdict.h"
#include "common/base/writer.h"
#include "common/carrier/choice.h"

struct session;
struct session_path;

enum { WAYS_WINDOW = 16384, WAYS_WORD_BITS = 64 };

struct ways {
    struct choice choice;
    struct session *stream, *carrier; /* NULL: not up */
    uint32_t number;                  /* of the next packet that takes both ways */
    uint64_t doubled;                 /* packets that took both */
    uint64_t gain_us;                 /* when there was last something to be gained */
    uint32_t lost[2];                 /* segments that TCP sent again: stream, carrier */
    /* What came: which of the newest numbers did. */
    bool begun;
    uint32_t newest;
    uint64_t copies; /* that were passed by */
    uint64_t window[WAYS_WINDOW / WAYS_WORD_BITS];
};

/*
 * The connection that carries control is up: everything begins anew. stream: the same one, or NULL
 * where there will be another one.
 */
void ways_init(struct ways *ways, struct session *stream);
/* It is down, and so are the ways. */
void ways_fini(struct ways *ways);
/* The stream that is beside the carrier alone is up. */
void ways_join(struct ways *ways, struct session *stream);
/* The connection with sealed frames is up. */
void ways_open(struct ways *ways, struct session *carrier, uint64_t now_us);
/* This connection of media, which may be one of the two, has ended. */
void ways_close(struct ways *ways, const struct session *media, uint64_t now_us);

/* Why a session ended: was it for ways_media(), of either side, that did not trust it any more? */
bool ways_gave_up(const char *reason);
/* False between two tunnels: neither way is there, and ways_media() may not be called. */
bool ways_are_there(const struct ways *ways);
/*
 * Queues a packet, on one way or on both: session_media(). A carrier of raw segments that went
 * silent, or could not be proved, ends: there is another one without these.
 */
void ways_media(struct ways *ways, uint32_t label, const uint8_t *packet, size_t length,
                struct verdict_counts *counts, uint64_t now_us);
/* A packet with this number has come: has the other one of the two come before? */
bool ways_is_copy(struct ways *ways, uint32_t number);
/* What is known of the way of one of the two, as the kernel's TCP has it. */
void ways_path(struct ways *ways, const struct session *session, const struct session_path *path,
               uint64_t now_us);

/* Bodies of PROBE and PROBE-REPORT. The readers: 0 or ERR_PROTOCOL. */
void probe_put(struct writer *w, uint32_t number);
int probe_get(struct reader *r, uint32_t *number);
void probe_report_put(struct writer *w, const struct choice_report *report);
int probe_report_get(struct reader *r, struct choice_report *report);

#endif
