#include "common/tunnel/rawreader.h"

#include <ev.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/carrier/rawsocket.h"
#include "common/carrier/segment.h"
#include "common/tunnel/turn.h"

enum {
    FAMILIES = 2,
    BUCKETS = 64,
    /* What connections that end have when the daemon does. */
    LINGER_US = 1000 * 1000,
    LINGER_STEP_MS = 10,
};

struct source {
    struct rawreader *reader;
    struct rawsocket *raw; /* NULL: this host does not have the IP version */
    ev_io io;
};

struct rawreader {
    struct ev_loop *loop;
    struct source sources[FAMILIES];
    struct rawreader_client *buckets[BUCKETS];
    struct rawreader_client *touched[RAWSOCKET_BATCH];
    unsigned touched_count;
    uint64_t foreign;
};

/* ---------------------------------------------------------------- clients */

static size_t bucket_of(const struct addr *peer)
{
    size_t last = addr_ip_length(peer);

    return (peer->port ^ (last > 0 ? (unsigned)peer->ip[last - 1] << 3 : 0)) % BUCKETS;
}

void rawreader_add(struct rawreader *reader, struct rawreader_client *client)
{
    struct rawreader_client **bucket = &reader->buckets[bucket_of(&client->peer)];

    client->next = *bucket;
    *bucket = client;
}

void rawreader_remove(struct rawreader *reader, struct rawreader_client *client)
{
    struct rawreader_client **at = &reader->buckets[bucket_of(&client->peer)];

    while (*at && *at != client)
        at = &(*at)->next;
    if (*at)
        *at = client->next;
    for (unsigned i = 0; i < reader->touched_count; i++) {
        if (reader->touched[i] == client)
            reader->touched[i] = NULL;
    }
}

static struct rawreader_client *find(const struct rawreader *reader, const struct segment *segment)
{
    struct rawreader_client *client = reader->buckets[bucket_of(&segment->source)];

    while (client && (client->local_port != segment->destination.port ||
                      !addr_equal(&client->peer, &segment->source)))
        client = client->next;
    return client;
}

/* ---------------------------------------------------------------- segments */

static void touch(struct rawreader *reader, struct rawreader_client *client)
{
    for (unsigned i = 0; i < reader->touched_count; i++) {
        if (reader->touched[i] == client)
            return;
    }
    reader->touched[reader->touched_count++] = client;
}

/* A client may end others in drained(). */
static void tell_drained(struct rawreader *reader)
{
    for (unsigned i = 0; i < reader->touched_count; i++) {
        if (reader->touched[i])
            reader->touched[i]->hooks->drained(reader->touched[i]->ctx);
    }
    reader->touched_count = 0;
}

/* Returns true when there may be more. */
static bool take_batch(struct rawreader *reader, struct rawsocket *raw)
{
    struct segment segments[RAWSOCKET_BATCH];
    unsigned count = rawsocket_receive(raw, segments);

    for (unsigned i = 0; i < count; i++) {
        struct rawreader_client *client = find(reader, &segments[i]);

        if (!client) {
            reader->foreign++;
            continue;
        }
        touch(reader, client);
        client->hooks->segment(client->ctx, &segments[i]);
    }
    tell_drained(reader);
    return count == RAWSOCKET_BATCH;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    struct source *source = io->data;

    (void)events;
    while (take_batch(source->reader, source->raw) && !turn_is_over(loop))
        ;
}

/* ---------------------------------------------------------------- life */

static int open_source(struct source *source, const struct rawsocket_filter *filter, char *error,
                       size_t error_size)
{
    int result = rawsocket_open(&source->raw, filter, error, error_size);

    if (result == ERR_UNSUPPORTED)
        return 0;
    if (result < 0)
        return result;
    ev_io_init(&source->io, on_readable, rawsocket_fd(source->raw), EV_READ);
    source->io.data = source;
    /* Before the connections themselves: what they have is opened already then. */
    ev_set_priority(&source->io, 1);
    return 0;
}

int rawreader_new(struct rawreader **reader, const uint16_t *ports, size_t count, char *error,
                  size_t error_size)
{
    struct rawsocket_filter filter = {.data_only = true, .port_count = count};
    struct rawreader *r = calloc(1, sizeof(*r));
    int result = 0;

    *reader = NULL;
    if (!r || count > RAWSOCKET_PORTS_MAX) {
        snprintf(error, error_size, "%s", err_text(r ? ERR_INVALID : ERR_NOMEM));
        free(r);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < count; i++)
        filter.ports[i] = (struct rawsocket_ports){ports[i], ports[i]};
    for (size_t i = 0; result == 0 && i < FAMILIES; i++) {
        filter.family = i == 0 ? 4 : 6;
        r->sources[i].reader = r;
        result = open_source(&r->sources[i], &filter, error, error_size);
    }
    if (result < 0) {
        rawreader_free(r);
        return result;
    }
    *reader = r;
    return 0;
}

void rawreader_start(struct rawreader *reader, struct ev_loop *loop)
{
    reader->loop = loop;
    for (size_t i = 0; i < FAMILIES; i++) {
        if (reader->sources[i].raw)
            ev_io_start(loop, &reader->sources[i].io);
    }
}

/* Is anybody left of those who have a last word to say? */
static bool hurry(struct rawreader *reader, bool at_once)
{
    bool left = false;

    for (unsigned i = 0; i < BUCKETS; i++) {
        struct rawreader_client *next;

        for (struct rawreader_client *client = reader->buckets[i]; client; client = next) {
            next = client->next;
            if (!client->hooks->hurry)
                continue;
            left = !at_once;
            client->hooks->hurry(client->ctx, at_once);
        }
    }
    return left;
}

static void linger(struct rawreader *reader)
{
    struct pollfd wait[FAMILIES];
    uint64_t until_us = clock_now_us() + LINGER_US;

    while (hurry(reader, clock_now_us() >= until_us)) {
        for (size_t i = 0; i < FAMILIES; i++) {
            struct rawsocket *raw = reader->sources[i].raw;

            wait[i] = (struct pollfd){.fd = raw ? rawsocket_fd(raw) : -1, .events = POLLIN};
            if (raw)
                (void)take_batch(reader, raw);
        }
        (void)poll(wait, FAMILIES, LINGER_STEP_MS);
    }
}

void rawreader_free(struct rawreader *reader)
{
    if (!reader)
        return;
    linger(reader);
    for (size_t i = 0; i < FAMILIES; i++) {
        if (reader->sources[i].raw && reader->loop)
            ev_io_stop(reader->loop, &reader->sources[i].io);
        rawsocket_close(reader->sources[i].raw);
    }
    free(reader);
}

struct ev_loop *rawreader_loop(const struct rawreader *reader)
{
    return reader->loop;
}

struct rawsocket *rawreader_socket(const struct rawreader *reader, uint8_t family)
{
    return reader->sources[family == 6].raw;
}

int rawreader_send(struct rawreader *reader, const struct segment *segment)
{
    struct rawsocket *raw = rawreader_socket(reader, segment->source.family);

    return raw ? rawsocket_queue(raw, segment) : ERR_UNSUPPORTED;
}

void rawreader_flush(struct rawreader *reader)
{
    for (size_t i = 0; i < FAMILIES; i++) {
        if (reader->sources[i].raw)
            rawsocket_flush(reader->sources[i].raw);
    }
}

struct rawreader_counts rawreader_counts(const struct rawreader *reader)
{
    struct rawreader_counts sum = {.foreign = reader->foreign};

    for (size_t i = 0; i < FAMILIES; i++) {
        const struct rawsocket_counts *one;

        if (!reader->sources[i].raw)
            continue;
        one = rawsocket_counts(reader->sources[i].raw);
        sum.received += one->received;
        sum.malformed += one->malformed;
        sum.overflows += one->overflows;
    }
    return sum;
}
