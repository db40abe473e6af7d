/*
 * One tunnel connection in the event loop: socket, TLS and session. Closed by
 * itself when the handshakes take longer than 3 s together, when the peer is
 * dead, or when it breaks the protocol.
 */
#ifndef COMMON_TUNNEL_CONN_H
#define COMMON_TUNNEL_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/tunnel/session.h"
#include "common/tunnel/tls.h"
#include "common/tunnel/transport.h"

struct ev_loop;
struct rawreader;
struct sealed;
struct takeover;
struct conn;

enum { CONN_SECRET_OCTETS = 32 };

struct conn_hooks {
    /*
     * TLS is up and the peer bears this name of the list. Returns the session, which is the
     * connection's from then on, or NULL: the connection is closed with *reason.
     */
    struct session *(*secured)(void *ctx, struct conn *conn, const char *peer_name,
                               const char **reason);
    /* All that could be read was handed to the session: a batch is complete. May be NULL. */
    void (*drained)(void *ctx);
    /*
     * The connection is over. Its session still exists and is freed, with the
     * connection, when this returns.
     */
    void (*closed)(void *ctx, struct conn *conn, const char *reason);
};

/*
 * Takes the connected socket over, also when it fails (NULL: out of memory).
 * names: see tls_new; must live as long as the connection. No hook is called from within.
 */
struct conn *conn_new(struct ev_loop *loop, int fd, struct tls_context *context,
                      const char *const *names, unsigned dscp, const struct conn_hooks *hooks,
                      void *ctx);
/* The same over what may be two sockets; both are taken over. */
struct conn *conn_new_over(struct ev_loop *loop, const struct transport *transport,
                           struct tls_context *context, const char *const *names, unsigned dscp,
                           const struct conn_hooks *hooks, void *ctx);
/* Sends what the session has to say, as far as the socket takes it. Call after each batch. */
void conn_flush(struct conn *conn);
/* The same in the next turn of the loop: what many commands of one turn make goes out together. */
void conn_flush_soon(struct conn *conn);
/* Says BYE with this reason and ends. From within a hook the end comes right after it. */
void conn_close(struct conn *conn, const char *reason);
/*
 * Ends it if the peer's certificate is no longer good under this context, at once or when its
 * handshake is complete: until then the context must live, or another call of this must follow.
 */
void conn_recheck(struct conn *conn, struct tls_context *context);

/*
 * From the end of the callback that this is called from on, the connection is that loop's, and its
 * hooks are called there; hooks and ctx are taken over at once, and nothing more is read before.
 * Under the locks of all (HACKING.md, "Threads"): the other loop is to be woken.
 */
void conn_move(struct conn *conn, struct ev_loop *loop, const struct conn_hooks *hooks, void *ctx);

/*
 * Of one that has switched, outside of its hooks: the socket, which is returned, is the caller's to
 * read and write until conn_close(), which then says nothing. The session says and hears nothing
 * any more, and has no time limit. secret: of frames from the inner-relay, and from the dmz-relay,
 * with keys of *key_octets (seal.h). Negative: it has not switched, is over, or there is HTTP.
 */
int conn_leave(struct conn *conn, uint8_t secret[2][CONN_SECRET_OCTETS], size_t *key_octets);

/* Who the socket is connected with: an HTTP proxy, where there is one. */
const struct addr *conn_peer(const struct conn *conn);
/* Where the socket is on this host. */
struct addr conn_local(const struct conn *conn);
/* How it came about. CONNECT is the way of the inner-relay alone: the dmz-relay sees none. */
enum httpproxy_way conn_way(const struct conn *conn);
/* NULL until TLS is up. */
struct session *conn_session(const struct conn *conn);
/* "handshake", "hello", "up". */
const char *conn_state(const struct conn *conn);
bool conn_is_up(const struct conn *conn);
/*
 * Sealed frames of this connection are read early once it has switched and is in the reader's
 * loop. reader, which may be NULL, must outlive it.
 */
void conn_read_early(struct conn *conn, struct rawreader *reader);
bool conn_reads_early(const struct conn *conn);
/* Is it one that could be taken over by a raw socket: TCP without anybody in between? */
bool conn_is_direct(const struct conn *conn);
/* NULL: it was not taken over (takeover.h). */
const struct takeover *conn_taken(const struct conn *conn);
/* What opens its frames since it has switched; NULL: it has not. */
const struct sealed *conn_sealed(const struct conn *conn);
/* The congestion control algorithm that the kernel runs; at most size octets. */
void conn_congestion(const struct conn *conn, char *out, size_t size);
/* What the kernel refused when the connection began: bit n is enum tcp_option n. */
unsigned conn_refused(const struct conn *conn);

#endif
