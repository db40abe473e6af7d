/*
 * TCP by simultaneous open: two hosts behind NAT connect to each other's mapped address at once,
 * each from the local port of a connection that it has already, so that both NATs have let
 * something out to where the other one's segments come from. For NATs that keep the mapping of a
 * port for all destinations and drop unknown SYNs silently; others refuse it, or nothing comes.
 */
#ifndef COMMON_TUNNEL_PUNCH_H
#define COMMON_TUNNEL_PUNCH_H

#include <stdint.h>

#include "common/base/addr.h"

enum {
    PUNCH_MAX_US = 2000 * 1000,  /* for the whole: two SYNs of the kernel */
    PUNCH_PAUSE_US = 200 * 1000, /* after one that was refused: the other side had not begun yet */
};

enum punch_state {
    PUNCH_WAITS, /* call punch_go_on() when the socket can be written to, or after PUNCH_PAUSE_US */
    PUNCH_IS_OPEN,
    PUNCH_FAILED, /* error: an errno */
};

struct punch {
    enum punch_state state;
    struct addr local, to;
    int fd; /* -1: none */
    int error;
    unsigned tries;
    uint64_t began_us, refused_us; /* refused_us 0: it is under way */
};

/*
 * Before bind() and connect() of a TCP socket: others may connect from its port, too. Both have to
 * say so. 0 or ERR_SYSTEM.
 */
int punch_share(int fd);
/* local: of the connection that there is, as getsockname() says; to: the other's mapped address. */
void punch_begin(struct punch *punch, const struct addr *local, const struct addr *to,
                 uint64_t now_us);
enum punch_state punch_go_on(struct punch *punch, uint64_t now_us);
/* The socket, which does not block, is the caller's from now on. Only if it is open. */
int punch_take(struct punch *punch);
/* Closes what there is. */
void punch_end(struct punch *punch);

#endif
