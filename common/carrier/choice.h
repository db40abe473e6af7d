/*
 * carrier = auto, of one direction: whether a packet goes in TLS (the stream), over the connection
 * of media (the carrier), or over both. It begins with the stream. The carrier has to prove itself:
 * PROBEs go with the media over it, and are reported as they come; meanwhile packets go both ways.
 * When reports stay out they go both ways again, at once, and by the stream alone where that lasts.
 *
 * Time passes with the packets: without any, nothing has to be decided. Pure.
 */
#ifndef COMMON_CARRIER_CHOICE_H
#define COMMON_CARRIER_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

enum choice_state {
    CHOICE_STREAM,
    CHOICE_PROBING, /* both */
    CHOICE_CARRIER,
    CHOICE_DOUBTING, /* both */
    CHOICE_STATES,
};

/* Why it is in this state, as `status` shows it. */
#define CHOICE_WHY_LIST(X)                                                                         \
    X(NO_CONNECTION, "the connection of media is not up")                                          \
    X(IDLE, "no media has gone out yet")                                                           \
    X(NO_LOSS, "nothing is lost, and the way is short: nothing would be gained")                   \
    X(IN_ORDER, "the other side reads in order: nothing would be gained")                          \
    X(HELD_BACK, "what is behind a lost segment is held back on the way: nothing is gained")       \
    X(PROBING, "it is being proved: media goes on both")                                           \
    X(PROVED, "it is proved, and segments are read as they come")                                  \
    X(SILENT, "it has gone silent: media goes on both")                                            \
    X(RESUMED, "media begins again: on both until it is heard of")                                 \
    X(FAILED, "the connection of media went silent, and is tried again later")                     \
    X(LOSSY, "the connection of media loses too much, and is tried again later")                   \
    X(UNPROVED, "the connection of media could not be proved, and is tried again later")

enum choice_why {
#define X(name, text) CHOICE_##name##_,
    CHOICE_WHY_LIST(X)
#undef X
        CHOICE_WHYS
};

#define CHOICE_COUNT_LIST(X)                                                                       \
    X(PROBES, "probes", "that were sent")                                                          \
    X(REPORTS, "reports", "of them that came")                                                     \
    X(MOVES, "moves", "to the carrier, after it was proved")                                       \
    X(DOUBTS, "doubts", "reports stayed out: media went on both")                                  \
    X(FALLS, "falls", "back to the stream")

enum choice_count {
#define X(name, word, text) CHOICE_COUNT_##name,
    CHOICE_COUNT_LIST(X)
#undef X
        CHOICE_COUNTS
};

enum { CHOICE_RING = 64 };

/* What the other side says of a PROBE. */
struct choice_report {
    uint32_t number;
    bool early;        /* it reads segments as they come */
    uint64_t overtook; /* frames that came before one that was sent earlier, so far */
};

struct choice {
    enum choice_state state;
    enum choice_why why;
    bool open;          /* the connection of media is up, */
    bool holes;         /* and can leave out a segment */
    bool holed;         /* it has, */
    uint64_t hole;      /* and this many had overtaken before */
    bool gains;         /* there may be something to be gained */
    uint64_t state_us;  /* when the state began */
    uint64_t packet_us; /* the last packet */
    uint64_t retry_us;  /* not to be tried before */
    unsigned failures;  /* in a row */
    uint32_t next;      /* number of the next PROBE */
    uint32_t reported;  /* those below are reported, or lost */
    uint64_t probed_us; /* the last one */
    uint64_t due_us;    /* one has waited from here on for the connection to take it; 0: none */
    uint64_t sent_us[CHOICE_RING];
    uint64_t owed;   /* a bit for each: media went by it alone, and it is not reported */
    unsigned losses; /* of such ones: a leaky bucket */
    uint32_t rtt_us, deviation_us; /* of PROBEs; 0: not known */
    uint32_t first;                /* number of the first PROBE of this state */
    unsigned good;                 /* reports of those of this state */
    uint64_t heard;                /* of overtaking, last */
    uint64_t overtook, lost;       /* when it moved: what was, or what has changed since */
    uint64_t lost_now;
    uint64_t counts[CHOICE_COUNTS];
};

/* "stream", "both", "carrier". */
const char *choice_way_name(const struct choice *choice);
const char *choice_why_text(const struct choice *choice);
const char *choice_count_name(enum choice_count which);

void choice_init(struct choice *choice);
/*
 * The connection of media is up, or it has ended. holes: it is one of raw segments, of which one
 * can be left out. It has to prove that what is behind a hole comes.
 */
void choice_open(struct choice *choice, bool holes, uint64_t now_us);
void choice_close(struct choice *choice, uint64_t now_us);
/* Is there anything to be gained? lost: segments that the carrier's TCP has sent again, in all. */
void choice_path(struct choice *choice, bool gains, uint64_t lost);

/* Which way does a packet go that came now? */
struct choice_ways {
    bool stream, carrier;
};
struct choice_ways choice_packet(struct choice *choice, uint64_t now_us);
/* Media goes out over the carrier: is a PROBE to go in front of it? Then it counts as sent. */
bool choice_probe(struct choice *choice, uint64_t now_us, uint32_t *number);
/* Is the next segment, now that it is being proved, to be left out? Then say so when it was. */
bool choice_wants_hole(const struct choice *choice);
void choice_left_hole(struct choice *choice);
/* False: of no PROBE of ours. */
bool choice_reported(struct choice *choice, const struct choice_report *report, uint64_t now_us);

#endif
