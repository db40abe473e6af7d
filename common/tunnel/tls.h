/*
 * The wall in front of OpenSSL's TLS: nothing else in the tree sees it.
 * TLS 1.3 only, both sides verified: private CA, the peer's name in a DNS SAN
 * (no CN, no wildcard), the extended key usage of its role present, CRL when
 * one is configured. No tickets, no resumption, no early data.
 */
#ifndef COMMON_TUNNEL_TLS_H
#define COMMON_TUNNEL_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iovec;
struct tls_context; /* certificate, key, CA and CRL as they were read from their files */
struct tls;         /* one connection */
struct transport;

enum tls_result {
    TLS_SUCCESS,
    TLS_FAILED,     /* tls_error() says why */
    TLS_CLOSED,     /* the peer ended the connection in order */
    TLS_WANT_INPUT, /* again when the socket can be read */
    TLS_WANT_OUTPUT /* again when the socket can be written */
};

/*
 * In the session of two sites both are inner-relays, and have the extended key usage of one: who
 * has stolen a dmz-relay's certificate is no site.
 */
enum tls_role { TLS_CLIENT, TLS_SERVER, TLS_SITE_CLIENT, TLS_SITE_SERVER };

struct tls_files {
    const char *certificate; /* PEM, chain allowed */
    const char *key; /* PEM, a regular file of ours or root's with no bit for group or others */
    const char *ca;  /* PEM */
    const char *crl; /* PEM, or NULL */
};

/*
 * Reads and checks the files. On failure *context stays as it was, the result
 * is negative, and error says in one sentence which file is wrong, how, and what
 * would be right. Also refused: a key that does not match, an own certificate
 * that is expired, not yet valid, without a DNS SAN or without the extended key
 * usage of its role, a CRL that is not signed by the CA or has expired.
 */
int tls_context_new(struct tls_context **context, enum tls_role role, const struct tls_files *files,
                    char *error, size_t error_size);
void tls_context_free(struct tls_context *context);
/* The first DNS SAN of our own certificate; lives as long as the context. */
const char *tls_context_name(const struct tls_context *context);
/* Seconds until the own certificate ends; negative when it has. */
int64_t tls_context_certificate_left(const struct tls_context *context);
/* Share of the CRL's lifetime that is left, 0 to 100; -1 without a CRL. */
int tls_context_crl_left_percent(const struct tls_context *context);

/*
 * A connection over a non-blocking socket, which stays the caller's. names is a
 * list, ended by NULL, of the names one of which the peer's certificate must
 * bear; it is only read during tls_handshake() and must live until that is
 * complete. The context must outlive the handshake only. NULL: out of memory.
 */
struct tls *tls_new(struct tls_context *context, int fd, const char *const *names);
/* The same over what may be two sockets; the transport itself is only read in this call. */
struct tls *tls_new_over(struct tls_context *context, const struct transport *transport,
                         const char *const *names);
void tls_free(struct tls *tls);
enum tls_result tls_handshake(struct tls *tls);
/* The name of the list that the peer's certificate bears; NULL before the handshake is complete. */
const char *tls_peer_name(const struct tls *tls);
/*
 * *count octets were read or written, at least one with TLS_SUCCESS. Reading takes more off the
 * socket than it gives: to be called until TLS_WANT_INPUT before the socket is waited for, since
 * nothing of it may be left there.
 */
enum tls_result tls_read(struct tls *tls, void *buffer, size_t size, size_t *count);
/* The next tls_read() would give TLS_WANT_INPUT: that call can be saved. */
bool tls_drained(const struct tls *tls);
/* Time has passed since the last tls_read(): the next one does not go by what it knew. */
void tls_refresh(struct tls *tls);
/*
 * Makes at most one record of RECORD_MAX_OCTETS. After TLS_WANT_OUTPUT (or
 * TLS_WANT_INPUT) the next call must bring the same octets, and may bring more
 * behind them; they may lie elsewhere in memory. length must not be 0.
 */
enum tls_result tls_write(struct tls *tls, const void *data, size_t length, size_t *count);
/*
 * What both sides know and nobody else does, for keys of their own (RFC 8446 section 7.5); after
 * the handshake. False: OpenSSL refused.
 */
bool tls_export(struct tls *tls, const char *label, const uint8_t *context, size_t context_length,
                uint8_t *out, size_t length);
/* Of the cipher: 16 or 32. */
size_t tls_key_octets(const struct tls *tls);
/*
 * The octets below TLS, once both sides have agreed to leave it; tls_drained() and tls_refresh()
 * are as for tls_read(). Writing: each of the segments by itself (tlssocket.h); TLS has nothing
 * left to write. *count octets, at least one with TLS_SUCCESS.
 */
enum tls_result tls_raw_read(struct tls *tls, void *buffer, size_t size, size_t *count);
/*
 * Discards size octets at most, *count of them, without a copy: where TLS has left, there is no
 * HTTP, and tls_raw_ahead() is false.
 */
enum tls_result tls_raw_discard(struct tls *tls, size_t size, size_t *count);
/* Octets were read ahead, or are inside HTTP. */
bool tls_raw_ahead(const struct tls *tls);
enum tls_result tls_raw_write(struct tls *tls, const struct iovec *segments, size_t segment_count,
                              size_t *count);
/* Sends close_notify as far as the socket takes it; does not wait for the peer's. */
void tls_close(struct tls *tls);
/*
 * True when the peer's certificate is still good under another context (new CA,
 * CRL, time); when not, tls_error() says why. The connection goes on either way.
 */
bool tls_recheck(struct tls *tls, struct tls_context *context);
/*
 * One sentence about the first TLS_FAILED, which all later calls repeat: "the peer's
 * certificate has expired", "TLS 1.2 offered, 1.3 needed". A TLS 1.3 client is
 * through its handshake before the server judged it: it learns in its first tls_read().
 */
const char *tls_error(const struct tls *tls);
/*
 * tls_write() changes the sending keys (KeyUpdate, RFC 8446 4.6.3) after so many
 * records or so much time, whichever is first. The defaults, 2^22 and an hour,
 * are right; tests set less.
 */
void tls_set_key_update(struct tls *tls, uint64_t records, uint64_t interval_us);
/* How often tls_write() has changed the sending keys. */
uint64_t tls_key_updates(const struct tls *tls);

#endif
