#include "inner-relay/sitelink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/tunnel/tls.h"

enum { HEAD_OCTETS = 3, READS_MAX = 64 };

struct sitelink {
    const struct sitelink_hooks *hooks;
    void *ctx;
    struct tls *tls;
    const char *names[2];
    int near, far; /* TLS is on the one, and its octets come out of the other */
    bool up, over;
    size_t in_length, out_length;
    uint8_t in[MESSAGE_MAX_OCTETS + 2];
    uint8_t out[SITELINK_QUEUE_OCTETS];
    char error[256];
};

struct sitelink *sitelink_new(struct tls_context *context, const char *name,
                              const struct sitelink_hooks *hooks, void *ctx)
{
    struct sitelink *link = calloc(1, sizeof(*link));
    int pair[2];

    if (!link || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        free(link);
        return NULL;
    }
    link->hooks = hooks;
    link->ctx = ctx;
    link->near = pair[0];
    link->far = pair[1];
    link->names[0] = name;
    link->tls = tls_new(context, link->near, link->names);
    if (!link->tls) {
        sitelink_free(link);
        return NULL;
    }
    return link;
}

void sitelink_free(struct sitelink *link)
{
    if (!link)
        return;
    tls_free(link->tls);
    close(link->near);
    close(link->far);
    wipe(link, sizeof(*link));
    free(link);
}

static int end(struct sitelink *link, const char *why)
{
    if (!link->over)
        snprintf(link->error, sizeof(link->error), "%s", why);
    link->over = true;
    wipe(link->in, link->in_length);
    wipe(link->out, link->out_length);
    link->in_length = link->out_length = 0;
    return ERR_CLOSED;
}

static int end_of(struct sitelink *link, enum tls_result result)
{
    return end(link, result == TLS_CLOSED ? "the other site has closed the session"
                                          : tls_error(link->tls));
}

/* ------------------------------------------------------------ TLS and messages */

static int shake(struct sitelink *link)
{
    enum tls_result result = tls_handshake(link->tls);

    if (result == TLS_WANT_INPUT || result == TLS_WANT_OUTPUT)
        return 0;
    if (result != TLS_SUCCESS)
        return end_of(link, result);
    link->up = true;
    link->hooks->up(link->ctx);
    return 0;
}

static int flush(struct sitelink *link)
{
    while (link->out_length > 0) {
        size_t count;
        enum tls_result result = tls_write(link->tls, link->out, link->out_length, &count);

        if (result == TLS_WANT_INPUT || result == TLS_WANT_OUTPUT)
            return 0;
        if (result != TLS_SUCCESS)
            return end_of(link, result);
        memmove(link->out, link->out + count, link->out_length - count);
        link->out_length -= count;
        wipe(link->out + link->out_length, count);
    }
    return 0;
}

/* The first message of what has come, if all of it is there: its octets; 0: not yet. */
static int take_message(struct sitelink *link, size_t at, uint64_t now_us)
{
    struct reader r, body;
    size_t length;
    uint8_t type;

    if (link->in_length - at < HEAD_OCTETS)
        return 0;
    reader_init(&r, link->in + at, link->in_length - at);
    length = reader_u16(&r);
    if (length < 1 || length > MESSAGE_MAX_OCTETS)
        return end(link, "the other site sent a message of a length that may not be");
    if (reader_left(&r) < length)
        return 0;
    type = reader_u8(&r);
    reader_init(&body, link->in + at + HEAD_OCTETS, length - 1);
    if (link->hooks->message(link->ctx, type, &body, now_us) < 0)
        return end(link, "the other site sent a message that cannot be read");
    return link->over ? ERR_CLOSED : (int)(length + 2);
}

static int take_messages(struct sitelink *link, uint64_t now_us)
{
    size_t at = 0;
    int taken;

    while ((taken = take_message(link, at, now_us)) > 0)
        at += (size_t)taken;
    if (taken < 0)
        return taken;
    /* They may have keys. */
    memmove(link->in, link->in + at, link->in_length - at);
    link->in_length -= at;
    wipe(link->in + link->in_length, at);
    return 0;
}

static int drain(struct sitelink *link, uint64_t now_us)
{
    tls_refresh(link->tls);
    for (unsigned i = 0; i < READS_MAX; i++) {
        size_t count;
        enum tls_result result = tls_read(link->tls, link->in + link->in_length,
                                          sizeof(link->in) - link->in_length, &count);

        if (result == TLS_WANT_INPUT || result == TLS_WANT_OUTPUT)
            break;
        if (result != TLS_SUCCESS)
            return end_of(link, result);
        link->in_length += count;
        if (take_messages(link, now_us) < 0)
            return ERR_CLOSED;
    }
    return 0;
}

static int go_on(struct sitelink *link, uint64_t now_us)
{
    int result = 0;

    if (link->over)
        return ERR_CLOSED;
    if (!link->up) {
        tls_refresh(link->tls);
        result = shake(link);
    }
    if (result == 0 && link->up)
        result = flush(link);
    if (result == 0 && link->up)
        result = drain(link, now_us);
    if (result == 0 && link->up)
        result = flush(link);
    return result;
}

/* ------------------------------------------------------------ octets */

int sitelink_give(struct sitelink *link, const void *data, size_t length, uint64_t now_us)
{
    if (link->over)
        return ERR_CLOSED;
    if (length > 0 && send(link->far, data, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length)
        return end(link, "octets of the other site found no room");
    return go_on(link, now_us);
}

size_t sitelink_take(struct sitelink *link, uint8_t *memory, size_t size, uint64_t now_us)
{
    ssize_t n;

    (void)go_on(link, now_us);
    do
        n = recv(link->far, memory, size, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n > 0 ? (size_t)n : 0;
}

int sitelink_send(struct sitelink *link, uint8_t type, const void *fields, size_t length)
{
    uint8_t *at = link->out + link->out_length;

    if (link->over)
        return ERR_CLOSED;
    if (length + 1 > MESSAGE_MAX_OCTETS)
        return ERR_TOO_LONG;
    if (length + HEAD_OCTETS > sizeof(link->out) - link->out_length)
        return ERR_FULL;
    at[0] = (uint8_t)((length + 1) >> 8);
    at[1] = (uint8_t)(length + 1);
    at[2] = type;
    if (length > 0)
        memcpy(at + HEAD_OCTETS, fields, length);
    link->out_length += length + HEAD_OCTETS;
    return 0;
}

void sitelink_close(struct sitelink *link, const char *why)
{
    if (link->over)
        return;
    (void)flush(link);
    if (!link->over)
        tls_close(link->tls);
    end(link, why);
}

bool sitelink_export(struct sitelink *link, const char *label, const uint8_t *context,
                     size_t context_length, uint8_t *out, size_t length)
{
    return sitelink_is_up(link) &&
           tls_export(link->tls, label, context, context_length, out, length);
}

bool sitelink_is_up(const struct sitelink *link)
{
    return link->up && !link->over;
}

bool sitelink_is_over(const struct sitelink *link)
{
    return link->over;
}

const char *sitelink_error(const struct sitelink *link)
{
    return link->error;
}

bool sitelink_recheck(struct sitelink *link, struct tls_context *context)
{
    if (!link->up || link->over)
        return false;
    if (tls_recheck(link->tls, context))
        return true;
    end(link, tls_error(link->tls));
    return false;
}
