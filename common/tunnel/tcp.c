#define LOG_MODULE "tunnel"
#include "common/tunnel/tcp.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"

/* Of Linux 6.15; headers may be older than the kernel that runs. */
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#endif
#ifndef TCP_RTO_MIN_US
#define TCP_RTO_MIN_US 45
#endif
#ifndef TCP_DELACK_MAX_US
#define TCP_DELACK_MAX_US 46
#endif

enum {
    NOTSENT_LOWAT_OCTETS = 32 * 1024,
    USER_TIMEOUT_MS = 5000,
    /*
     * The default floor of 200 ms is all that hurts where the RTT is 1 ms, and acknowledgements
     * that are delayed for less than the floor cause no needless repetition. The kernel counts in
     * ticks and takes no less than two: the second value is for one of 100 Hz.
     */
    SHORT_US = 5000,
    SHORT_OF_SLOW_TICKS_US = 20000,
    /* After an outage the next try comes soon; longer than 1.5 s no tunnel lives without. */
    RTO_MAX_MS = 1000,
};

static const struct {
    const char *name;
    int option, value;
    int instead; /* 0: none */
} options[TCP_OPTIONS] = {
    [TCP_OPTION_BBR] = {"bbr", TCP_CONGESTION, 0, 0},
    [TCP_OPTION_NODELAY] = {"TCP_NODELAY", TCP_NODELAY, 1, 0},
    [TCP_OPTION_NOTSENT_LOWAT] = {"TCP_NOTSENT_LOWAT", TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_OCTETS, 0},
    [TCP_OPTION_USER_TIMEOUT] = {"TCP_USER_TIMEOUT", TCP_USER_TIMEOUT, USER_TIMEOUT_MS, 0},
    [TCP_OPTION_RTO_MIN] = {"TCP_RTO_MIN_US", TCP_RTO_MIN_US, SHORT_US, SHORT_OF_SLOW_TICKS_US},
    [TCP_OPTION_RTO_MAX] = {"TCP_RTO_MAX_MS", TCP_RTO_MAX_MS, RTO_MAX_MS, 0},
    [TCP_OPTION_DELACK_MAX] = {"TCP_DELACK_MAX_US", TCP_DELACK_MAX_US, SHORT_US,
                               SHORT_OF_SLOW_TICKS_US},
};

const char *tcp_option_name(enum tcp_option option)
{
    return options[option].name;
}

static bool set_number(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

static bool set_option(int fd, enum tcp_option option)
{
    static const char bbr[] = "bbr";
    bool done;

    if (option == TCP_OPTION_BBR)
        done = setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, bbr, sizeof(bbr) - 1) == 0;
    else
        done = set_number(fd, IPPROTO_TCP, options[option].option, options[option].value) ||
               (options[option].instead &&
                set_number(fd, IPPROTO_TCP, options[option].option, options[option].instead));
    if (!done)
        log_debug("the kernel refuses %s: %s", options[option].name, strerror(errno));
    return done;
}

unsigned tcp_set_options(int fd, unsigned dscp)
{
    int tos = (int)dscp << 2;
    unsigned refused = 0;

    for (enum tcp_option option = 0; option < TCP_OPTIONS; option++)
        refused |= set_option(fd, option) ? 0 : 1u << option;
    /* Sockets of IPv6 may take the first as well, without effect on IPv6. */
    bool set = set_number(fd, IPPROTO_IP, IP_TOS, tos);
    if (!set_number(fd, IPPROTO_IPV6, IPV6_TCLASS, tos) && !set)
        log_debug("DSCP could not be set: %s", strerror(errno));
    return refused;
}

void tcp_congestion(int fd, char *out, size_t size)
{
    socklen_t length = (socklen_t)size - 1;

    memset(out, 0, size);
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, out, &length) < 0)
        snprintf(out, size, "unknown");
}
