#include "config.h" /* _GNU_SOURCE */

#include "common/net/udp.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/protocol.h"

enum {
    BUFFER_OCTETS = 4 * 1024 * 1024,
    SLOT_OCTETS = PACKET_MAX_OCTETS + FRAME_LABEL_OCTETS, /* RTP' */
    /* Errors that are taken off the socket in one udp_receive, so that it always ends. */
    RECEIVE_ERRORS_MAX = 8,
    /* ICMP errors that may hit the sending of one packet. */
    SEND_ERRORS_MAX = 3,
    /* What is kept of a packet that an ICMP error quotes: enough for its SSRC. */
    QUOTED_OCTETS = 64,
};

union overflow_cmsg {
    struct cmsghdr align;
    uint8_t octets[CMSG_SPACE(sizeof(uint32_t))];
};

struct receive_slot {
    uint8_t data[SLOT_OCTETS];
    struct sockaddr_storage from;
    struct iovec iov;
    union overflow_cmsg control;
};

struct send_slot {
    uint8_t data[SLOT_OCTETS];
    struct sockaddr_storage to;
    struct iovec iov;
    void *tag;
};

struct udp {
    int fd;
    struct addr local;
    int receive_buffer, send_buffer;
    bool shared;            /* the port, with other sockets */
    uint32_t overflow_last; /* the kernel's counter has 32 bits */
    uint64_t overflows;
    udp_sent_fn *sent;
    void *sent_ctx;
    udp_failed_fn *failed;
    void *failed_ctx;
    bool errors; /* the kernel has said that there are some to be read */
    unsigned queued;
    struct mmsghdr receive_heads[UDP_BATCH];
    struct mmsghdr send_heads[UDP_SEND_BATCH];
    struct receive_slot receive[UDP_BATCH];
    struct send_slot send[UDP_SEND_BATCH];
};

/* ---------------------------------------------------------------- open */

static int fail(char *error, size_t size, const char *what, const struct addr *local,
                const char *cure)
{
    char text[ADDR_TEXT_SIZE];
    int saved = errno;

    snprintf(error, size, "%s %s: %s%s%s", what, addr_format(local, text, sizeof(text)),
             strerror(saved), *cure ? "; " : "", cure);
    return ERR_SYSTEM;
}

static const char *socket_cure(int number)
{
    switch (number) {
    case EAFNOSUPPORT:
        return "this kernel does not have that IP version";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files";
    default:
        return "";
    }
}

static const char *bind_cure(int number)
{
    switch (number) {
    case EADDRINUSE:
        return "choose a port that no other program uses";
    case EADDRNOTAVAIL:
        return "choose an address that this host has";
    case EACCES:
        return "choose a port from 1024 on, or give the program CAP_NET_BIND_SERVICE";
    default:
        return "";
    }
}

/* More than net.core.[rw]mem_max is had only by the privileged; others get that maximum. */
static void set_buffers(int fd)
{
    static const int wanted = BUFFER_OCTETS;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof(wanted)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof(wanted));
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &wanted, sizeof(wanted)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
}

struct option {
    int level, name, value;
    const char *text;
};

static int set_options(struct udp *udp, const struct addr *local, unsigned dscp, char *error,
                       size_t error_size)
{
    const int traffic = (int)(dscp << 2);
    const struct option all[] = {
        {SOL_SOCKET, SO_RXQ_OVFL, 1, "SO_RXQ_OVFL"},
        {SOL_SOCKET, SO_REUSEPORT, udp->shared, "SO_REUSEPORT"},
    };
    const struct option v4[] = {
        {IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO, "IP_MTU_DISCOVER"},
        {IPPROTO_IP, IP_TOS, traffic, "IP_TOS"},
        {IPPROTO_IP, IP_RECVERR, 1, "IP_RECVERR"},
    };
    const struct option v6[] = {
        {IPPROTO_IPV6, IPV6_V6ONLY, 1, "IPV6_V6ONLY"},
        {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO, "IPV6_MTU_DISCOVER"},
        {IPPROTO_IPV6, IPV6_DONTFRAG, 1, "IPV6_DONTFRAG"},
        {IPPROTO_IPV6, IPV6_TCLASS, traffic, "IPV6_TCLASS"},
        {IPPROTO_IPV6, IPV6_RECVERR, 1, "IPV6_RECVERR"},
    };
    const struct {
        const struct option *options;
        size_t count;
    } sets[] = {
        {all, sizeof(all) / sizeof(all[0])},
        {local->family == 6 ? v6 : v4,
         local->family == 6 ? sizeof(v6) / sizeof(v6[0]) : sizeof(v4) / sizeof(v4[0])},
    };

    for (size_t s = 0; s < sizeof(sets) / sizeof(sets[0]); s++)
        for (size_t i = 0; i < sets[s].count; i++) {
            const struct option *o = &sets[s].options[i];

            if (setsockopt(udp->fd, o->level, o->name, &o->value, sizeof(o->value)) < 0) {
                char what[64];

                snprintf(what, sizeof(what), "cannot set %s on", o->text);
                return fail(error, error_size, what, local, "");
            }
        }
    return 0;
}

static int open_socket(struct udp *udp, const struct addr *local, unsigned dscp, char *error,
                       size_t error_size)
{
    struct sockaddr_storage name;
    socklen_t length = addr_to_sockaddr(local, &name);
    socklen_t int_length = sizeof(udp->receive_buffer);
    int result;

    udp->fd = socket(local->family == 6 ? AF_INET6 : AF_INET,
                     SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    if (udp->fd < 0)
        return fail(error, error_size, "cannot open a UDP socket for", local, socket_cure(errno));
    result = set_options(udp, local, dscp, error, error_size);
    if (result < 0)
        return result;
    set_buffers(udp->fd);
    if (bind(udp->fd, (struct sockaddr *)&name, length) < 0)
        return fail(error, error_size, "cannot bind UDP", local, bind_cure(errno));
    length = sizeof(name);
    if (getsockname(udp->fd, (struct sockaddr *)&name, &length) < 0 ||
        getsockopt(udp->fd, SOL_SOCKET, SO_RCVBUF, &udp->receive_buffer, &int_length) < 0 ||
        getsockopt(udp->fd, SOL_SOCKET, SO_SNDBUF, &udp->send_buffer, &int_length) < 0)
        return fail(error, error_size, "cannot read back the UDP socket of", local, "");
    udp->local = addr_from_sockaddr((struct sockaddr *)&name);
    return 0;
}

static void prepare_slots(struct udp *udp)
{
    for (size_t i = 0; i < UDP_BATCH; i++) {
        struct receive_slot *slot = &udp->receive[i];
        struct msghdr *head = &udp->receive_heads[i].msg_hdr;

        slot->iov = (struct iovec){.iov_base = slot->data, .iov_len = sizeof(slot->data)};
        head->msg_iov = &slot->iov;
        head->msg_iovlen = 1;
        head->msg_name = &slot->from;
        head->msg_control = &slot->control;
    }
    for (size_t i = 0; i < UDP_SEND_BATCH; i++) {
        struct send_slot *slot = &udp->send[i];
        struct msghdr *head = &udp->send_heads[i].msg_hdr;

        slot->iov.iov_base = slot->data;
        head->msg_iov = &slot->iov;
        head->msg_iovlen = 1;
        head->msg_name = &slot->to;
    }
}

static int open_udp(struct udp **udp, const struct addr *local, unsigned dscp, bool shared,
                    char *error, size_t error_size)
{
    struct udp *u = NULL;
    int result;

    *udp = NULL;
    if ((local->family != 4 && local->family != 6) || dscp > 63) {
        snprintf(error, error_size, "an IP address and a DSCP from 0 to 63 are needed");
        return ERR_INVALID;
    }
    u = calloc(1, sizeof(*u));
    if (!u) {
        snprintf(error, error_size, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    u->shared = shared;
    prepare_slots(u);
    result = open_socket(u, local, dscp, error, error_size);
    if (result < 0) {
        udp_close(u);
        return result;
    }
    *udp = u;
    return 0;
}

int udp_open(struct udp **udp, const struct addr *local, unsigned dscp, char *error,
             size_t error_size)
{
    return open_udp(udp, local, dscp, false, error, error_size);
}

int udp_open_shared(struct udp **udp, const struct addr *local, unsigned dscp, char *error,
                    size_t error_size)
{
    return open_udp(udp, local, dscp, true, error, error_size);
}

int udp_share(struct udp *udp)
{
    static const int on = 1;

    return setsockopt(udp->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ? ERR_SYSTEM : 0;
}

int udp_steer(struct udp *udp, const struct sock_fprog *program)
{
    return setsockopt(udp->fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program, sizeof(*program)) < 0
               ? ERR_SYSTEM
               : 0;
}

void udp_close(struct udp *udp)
{
    if (!udp)
        return;
    if (udp->fd >= 0)
        close(udp->fd);
    free(udp);
}

int udp_fd(const struct udp *udp)
{
    return udp->fd;
}

const struct addr *udp_local(const struct udp *udp)
{
    return &udp->local;
}

/* The kernel doubles what it is asked for, to account for its own overhead, and reports that. */
int udp_receive_buffer(const struct udp *udp)
{
    return udp->receive_buffer / 2;
}

int udp_send_buffer(const struct udp *udp)
{
    return udp->send_buffer / 2;
}

uint64_t udp_overflows(const struct udp *udp)
{
    return udp->overflows;
}

/* ---------------------------------------------------------------- receive */

/* The count as it was when the kernel queued this packet; no message while it is zero. */
static void note_overflow(struct udp *udp, struct msghdr *head)
{
    uint32_t count;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL)
            continue;
        memcpy(&count, CMSG_DATA(c), sizeof(count));
        udp->overflows += count - udp->overflow_last;
        udp->overflow_last = count;
    }
}

static int receive_batch(struct udp *udp)
{
    int n = -1;

    for (unsigned errors = 0; n < 0 && errors < RECEIVE_ERRORS_MAX; errors++) {
        for (size_t i = 0; i < UDP_BATCH; i++) {
            udp->receive_heads[i].msg_hdr.msg_namelen = sizeof(udp->receive[i].from);
            udp->receive_heads[i].msg_hdr.msg_controllen = sizeof(udp->receive[i].control);
        }
        n = recvmmsg(udp->fd, udp->receive_heads, UDP_BATCH, MSG_DONTWAIT, NULL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return 0;
        udp->errors = udp->errors || n < 0;
    }
    return n < 0 ? 0 : n;
}

static const struct sock_extended_err *error_of(struct msghdr *head)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
        if ((c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) ||
            (c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR))
            return (const void *)CMSG_DATA(c);
    }
    return NULL;
}

static bool is_icmp(const struct sock_extended_err *error)
{
    return error &&
           (error->ee_origin == SO_EE_ORIGIN_ICMP || error->ee_origin == SO_EE_ORIGIN_ICMP6);
}

/* False when none is left. What the kernel itself said of a packet has been told by sent(). */
static bool receive_error(struct udp *udp)
{
    uint8_t quoted[QUOTED_OCTETS];
    union {
        struct cmsghdr align;
        uint8_t octets[512];
    } control;
    struct sockaddr_storage to;
    struct iovec iov = {.iov_base = quoted, .iov_len = sizeof(quoted)};
    struct msghdr head = {.msg_name = &to,
                          .msg_namelen = sizeof(to),
                          .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = &control,
                          .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(udp->fd, &head, MSG_ERRQUEUE | MSG_DONTWAIT);
    struct addr addr;

    if (n < 0)
        return errno == EINTR;
    if (!udp->failed || !is_icmp(error_of(&head)))
        return true;
    addr = addr_from_sockaddr((struct sockaddr *)&to);
    udp->failed(udp->failed_ctx, &addr, quoted, (size_t)n, (int)error_of(&head)->ee_errno);
    return true;
}

/* They lie in the receive buffer, and wake the loop until they are read. */
static void receive_errors(struct udp *udp)
{
    unsigned left = RECEIVE_ERRORS_MAX;

    while (left > 0 && receive_error(udp))
        left--;
    udp->errors = left == 0;
}

int udp_receive(struct udp *udp, struct udp_packet packets[UDP_BATCH])
{
    int n = receive_batch(udp);

    for (int i = 0; i < n; i++) {
        struct mmsghdr *head = &udp->receive_heads[i];

        packets[i].data = udp->receive[i].data;
        packets[i].length = head->msg_len;
        packets[i].truncated = (head->msg_hdr.msg_flags & MSG_TRUNC) != 0;
        packets[i].source = addr_from_sockaddr((struct sockaddr *)&udp->receive[i].from);
        note_overflow(udp, &head->msg_hdr);
    }
    if (n == 0 || udp->errors)
        receive_errors(udp);
    return n;
}

void udp_on_failed(struct udp *udp, udp_failed_fn *failed, void *ctx)
{
    udp->failed = failed;
    udp->failed_ctx = ctx;
}

/* ---------------------------------------------------------------- send */

void udp_on_sent(struct udp *udp, udp_sent_fn *sent, void *ctx)
{
    udp->sent = sent;
    udp->sent_ctx = ctx;
}

static void report(const struct udp *udp, void *tag, int error)
{
    if (udp->sent)
        udp->sent(udp->sent_ctx, tag, error);
}

void udp_queue(struct udp *udp, const struct addr *to, const uint8_t *data, size_t length,
               void *tag)
{
    struct send_slot *slot;

    if (length > SLOT_OCTETS) {
        report(udp, tag, EMSGSIZE);
        return;
    }
    if (udp->queued == UDP_SEND_BATCH)
        udp_flush(udp);
    slot = &udp->send[udp->queued];
    if (length > 0)
        memcpy(slot->data, data, length);
    slot->iov.iov_len = length;
    slot->tag = tag;
    udp->send_heads[udp->queued].msg_hdr.msg_namelen = addr_to_sockaddr(to, &slot->to);
    udp->queued++;
}

/* May it be the error of an earlier packet, which came by ICMP? */
static bool is_late(int error)
{
    static const int late[] = {ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENOPROTOOPT,
                               EPROTO,       EMSGSIZE,     EACCES,      ENONET,    EOPNOTSUPP};

    for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
        if (late[i] == error)
            return true;
    }
    return false;
}

/*
 * Sends from the first of count packets on. Returns how many went out, or a
 * negative errno for the first of them. An ICMP error that was waiting on the socket belongs
 * to an earlier packet: the one that it hit by chance is tried again.
 */
static int send_some(struct udp *udp, unsigned first, unsigned count)
{
    unsigned tries = SEND_ERRORS_MAX;

    for (;;) {
        int n = sendmmsg(udp->fd, udp->send_heads + first, count, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0)
            return n;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && is_late(errno) && tries-- > 0) {
            udp->errors = true;
            continue;
        }
        return n < 0 ? -errno : -EIO;
    }
}

void udp_flush(struct udp *udp)
{
    unsigned at = 0, count = udp->queued;

    /* The slots stay taken until the last report: sent() must not queue on this socket. */
    while (at < count) {
        int n = send_some(udp, at, count - at);
        unsigned done = n > 0 ? (unsigned)n : 1;

        for (unsigned i = 0; i < done; i++)
            report(udp, udp->send[at + i].tag, n < 0 ? -n : 0);
        at += done;
    }
    udp->queued = 0;
}
