/*
 * The kernel's TCP under a tunnel connection: what is asked of it, what it refuses, and how much it
 * should hold. What waits there is sent in order and cannot be dropped, so it gets no more than the
 * path takes in a few milliseconds: the rest waits in the session, where media comes before bulk
 * and goes when it is too old.
 */
#ifndef COMMON_TUNNEL_TCP_H
#define COMMON_TUNNEL_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a kernel may refuse: too old, or no privilege. */
enum tcp_option {
    TCP_OPTION_BBR,
    TCP_OPTION_NODELAY,
    TCP_OPTION_NOTSENT_LOWAT,
    TCP_OPTION_USER_TIMEOUT,
    TCP_OPTION_RTO_MIN,
    TCP_OPTION_RTO_MAX,
    TCP_OPTION_DELACK_MAX,
    TCP_OPTIONS,
};

/* As relayctl shows it. */
const char *tcp_option_name(enum tcp_option option);

/* Sets all of them and the DSCP. Returns those refused: bit n is option n. */
unsigned tcp_set_options(int fd, unsigned dscp);

/* What is known of the path of one socket. All zero is a start. */
struct tcp_path {
    uint64_t asked_us;     /* when the kernel was asked about the path */
    uint64_t closed_us;    /* when the socket had enough */
    uint64_t renewed_us;   /* when BBR began anew */
    uint64_t lost_us;      /* when segments were sent again last, as far as is known; 0: never */
    uint64_t capped_us;    /* when cap was set, or lifted */
    uint64_t cap;          /* of the pacing rate, to shorten the queue; 0: none */
    size_t held;           /* octets that it has not sent yet: so many at most */
    uint32_t lowat;        /* what it may hold: TCP_NOTSENT_LOWAT of the socket */
    uint32_t ns_per_octet; /* of the path, where that is what limits us; else 0 */
    uint32_t behind_us;    /* the time of the queue on the path, */
    uint32_t spare_us;     /* and how much of all that lies before a packet may be */
    uint32_t rtt_us;       /* smoothed */
    uint32_t lost;         /* segments that were sent again, in all */
    uint32_t segment;      /* octets of the segments that were written as such; 0: full ones */
    bool bbr;              /* it runs because we asked for it: the owner says so */
    bool limited;          /* is it? */
    bool long_queue;       /* on the path: the RTT is far above its minimum */
};

struct tcp_info;
/* Draws the conclusions of what the kernel tells: all but asked_us, closed_us and held. */
void tcp_path_judge(struct tcp_path *path, const struct tcp_info *info, uint64_t now_us);
/* Is it time for BBR to begin anew? tcp_path_judge() was called before. */
bool tcp_path_wants_renewal(const struct tcp_path *path, const struct tcp_info *info,
                            uint64_t now_us);
/*
 * May octets be handed over now? If not, the socket is writable as soon as they may. path->held and
 * all else is as it should be when this says so.
 */
bool tcp_path_is_open(struct tcp_path *path, int fd, uint64_t now_us);
/* Has the kernel octets that it may not send yet? Tells path->held, too. */
bool tcp_path_holds(struct tcp_path *path, int fd);
/* How many; 0 when not open. */
size_t tcp_path_room(const struct tcp_path *path);
void tcp_path_wrote(struct tcp_path *path, size_t octets);
/*
 * The same, where each segment is written by itself: the kernel counts segments, as if all of them
 * were full, and so do its rates.
 */
void tcp_path_wrote_segments(struct tcp_path *path, size_t octets, size_t segments);

/* The congestion control algorithm that the kernel runs, or "unknown"; at most size octets. */
void tcp_congestion(int fd, char *out, size_t size);

#endif
