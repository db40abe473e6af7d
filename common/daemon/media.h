/* The media sockets of all listeners in the event loop: two UDP ports each. */
#ifndef COMMON_DAEMON_MEDIA_H
#define COMMON_DAEMON_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/daemon/settings.h"
#include "common/net/path.h"
#include "common/net/peers.h"
#include "common/net/udp.h"

struct ev_loop;
struct media;

struct media_hooks {
    /* A batch of at least one, in the order in which they came. */
    void (*packets)(void *ctx, unsigned listener, bool rtcp_port, const struct udp_packet *packets,
                    size_t count, uint64_t now_us);
    /* What became of a packet given to media_send. */
    void (*sent)(void *ctx, unsigned listener, bool rtcp_port, void *tag, int error);
    /* See udp_on_failed. May be NULL. */
    void (*failed)(void *ctx, bool rtcp_port, const struct addr *to, const uint8_t *data,
                   size_t length, uint64_t now_us);
    /* So many that the kernel dropped since the last time: its receive buffer was full. */
    void (*overflow)(void *ctx, unsigned listener, bool rtcp_port, uint64_t count);
};

/*
 * Opens two sockets per listener; nothing is read before media_start. shared: another thread has
 * sockets of the same ports, which media_share() has opened to others. Negative with a sentence in
 * error: one that is not shared is refused a port that any other socket has.
 */
int media_open(struct media **media, struct ev_loop *loop,
               const struct listener_settings *listeners, size_t count, bool shared,
               const struct media_hooks *hooks, void *ctx, char *error, size_t error_size);
/* Other threads may open sockets of the same ports. Negative with a sentence in error. */
int media_share(struct media *media, char *error, size_t error_size);
/* How the ports that so many threads share are shared; prime: see struct steer. */
int media_steer(struct media *media, unsigned threads, const struct peers *peers, bool prime,
                char *error, size_t error_size);
/* All sockets get the same from the kernel: once for all of them is enough. */
void media_warn_about_buffers(const struct media *media);
void media_start(struct media *media);
/* Accepts NULL. */
void media_close(struct media *media);

/* See udp_queue and udp_flush. */
void media_send(struct media *media, unsigned listener, bool rtcp_port, const struct addr *to,
                const uint8_t *packet, size_t length, void *tag);
void media_flush(struct media *media);

/* Packets that have come. ctx: the struct media. */
uint64_t media_received(void *ctx);
/* Fills in what a listener's section says. */
void media_describe(const struct listener_settings *settings, struct path_listener *listener);

#endif
