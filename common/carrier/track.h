/*
 * The sequence numbers of a connection that was taken over from the kernel: what the segments of
 * ours have to say so that each firewall on the way takes them for TCP, although nothing is ever
 * repeated. Numbers never order frames or tell copies: the counters of sealed frames do.
 *
 * Pure: segments go in, the headers of ours come out, time is a parameter. Nobody is believed
 * without a genuine frame but in what an ordinary TCP believes as well: an acknowledgement of
 * what we have sent, in a segment within the window. Timestamps are taken from genuine ones alone:
 * the owner's heartbeat has some in each direction.
 */
#ifndef COMMON_CARRIER_TRACK_H
#define COMMON_CARRIER_TRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct segment;

enum {
    TRACK_WINDOW = 65535,          /* in the header of each of our segments */
    TRACK_SILENCE_US = 75 * 1000,  /* a direction without data sends a pure ACK so often */
    TRACK_STOP_US = 3 * 1000000,   /* without an acknowledgement of anything new: no more data, */
    TRACK_PROBE_US = 200 * 1000,   /* but for one segment so often */
    TRACK_LINGER_US = 1000000,     /* after both FIN */
    TRACK_FINISH_US = 3 * 1000000, /* a FIN that nobody answers is over after this time */
    TRACK_FIN_AGAIN_US = 250 * 1000,
};

enum track_state {
    TRACK_OPEN,
    TRACK_FINISHING, /* our FIN went out, the peer's has not come */
    TRACK_LINGERING, /* both have: late segments are answered yet */
    TRACK_OVER,
};

/* Why a segment was not believed; each that comes is counted once. */
#define TRACK_COUNT_LIST(X)                                                                        \
    X(GENUINE, "genuine", "held a genuine frame")                                                  \
    X(BARE, "bare", "an acknowledgement without data, within the window")                          \
    X(OUTSIDE, "outside", "an acknowledgement without data, of something never sent or old")       \
    X(FOREIGN, "foreign", "data without any genuine frame")                                        \
    X(RESET, "reset", "a RST, SYN, or FIN without a genuine frame: ignored")

enum track_count {
#define X(name, word, text) TRACK_##name,
    TRACK_COUNT_LIST(X)
#undef X
        TRACK_COUNTS
};

/* The word for a counter: "genuine". */
const char *track_count_name(enum track_count which);

/* What the kernel's connection was when it was taken over. */
struct track_start {
    uint32_t send_next;    /* all before it was acknowledged */
    uint32_t receive_next; /* all before it was read */
    uint32_t timestamp;    /* our clock as the kernel would send it now */
    uint32_t timestamp_echo;
    uint32_t peer_window; /* in octets */
    uint32_t rate;        /* octets per second, headers included; 0: no bound */
    uint16_t mss;         /* octets of payload without options */
    uint8_t own_scale, peer_scale;
    bool timestamps;
};

struct track {
    struct track_start start;
    uint64_t started_us;
    uint32_t send_next; /* where the next segment begins */
    uint32_t send_high; /* behind the highest octet that was ever sent */
    uint32_t acked;     /* the highest acknowledgement received */
    uint32_t receive;   /* behind the highest genuine octet received: what we acknowledge */
    uint32_t ack_sent;  /* the last that we sent */
    uint32_t window;    /* of the peer, in octets, as a genuine segment said last */
    uint32_t echo;      /* the peer's newest timestamp */
    uint32_t fin;       /* the number of our FIN */
    enum track_state state;
    bool fin_sent, peer_fin, ack_now;
    uint64_t sent_us;    /* any segment */
    uint64_t waiting_us; /* since then nothing new was acknowledged; meaningless when all was */
    uint64_t probed_us;
    uint64_t ended_us; /* when the state became FINISHING, then LINGERING */
    uint64_t fin_us;   /* when our FIN was last sent */
    uint64_t tokens_at_us;
    uint64_t tokens; /* millionths of octets */
    uint64_t rewinds, refused, stops;
    bool stopped;
    uint64_t counts[TRACK_COUNTS];
};

void track_init(struct track *track, const struct track_start *start, uint64_t now_us);

/*
 * A segment of the connection came. genuine: at least one frame in it was opened, and had not come
 * before: the header of a copy may be anybody's. Returns what it was counted as.
 */
enum track_count track_received(struct track *track, const struct segment *segment, bool genuine,
                                uint64_t now_us);

/*
 * Fills numbers, flags, window and timestamps of a segment with length octets of frames, 1 to
 * track_room(). It counts as sent. ERR_TOO_LONG; ERR_AGAIN: not now, because of the rate or because
 * nothing has been acknowledged for TRACK_STOP_US; ERR_CLOSED: after FIN.
 */
int track_send(struct track *track, size_t length, struct segment *segment, uint64_t now_us);
/* How many octets of frames a segment takes. */
size_t track_room(const struct track *track);
/*
 * The same with FIN: length octets say goodbye. It may be called again, with as many octets, when
 * track_fin_is_due().
 */
int track_finish(struct track *track, size_t length, struct segment *segment, uint64_t now_us);
bool track_fin_is_due(const struct track *track, uint64_t now_us);
/* True when a pure ACK is due: fills it, and it counts as sent. */
bool track_ack(struct track *track, struct segment *segment, uint64_t now_us);
/* When track_ack(), track_fin_is_due() or the state may say something new without a segment. */
uint64_t track_wake_us(const struct track *track);
/* Both sides have said FIN, and ours was acknowledged. */
bool track_is_answered(const struct track *track);
/* Moves the state on by time. */
enum track_state track_state(struct track *track, uint64_t now_us);
/* Nothing has been acknowledged for TRACK_STOP_US: the carrier is of no use now. */
bool track_is_stopped(const struct track *track, uint64_t now_us);

#endif
