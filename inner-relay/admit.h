/*
 * Taking a new SA in: from relayctl now, from SIP signalling later. Everything
 * is checked before anything is changed.
 */
#ifndef INNER_RELAY_ADMIT_H
#define INNER_RELAY_ADMIT_H

#include <stddef.h>
#include <stdint.h>

#include "common/srtp/srtp.h"
#include "inner-relay/inner.h"

struct admit_request {
    enum sa_side side;
    enum sa_side
        to_side; /* where its packets go; 0: the other one. From one to the same: hairpin */
    enum source_policy source_policy; /* 0: as configured, or strict where nothing can be learned */
    struct sa_transport source;       /* may be unknown with a hint, or an open policy */
    struct addr hint;                 /* where its signalling came from; the port does not count */
    /* May be unknown, and of no use, where the source of reverse is learned: it goes there then. */
    struct sa_transport destination;
    /* Its packets come (go) as RTP'; what a peer sends and gets always does. */
    bool prime_in, prime_out;
    const struct suite *suite; /* may be NULL where the key is none */
    struct srtp_key key;       /* master; may be none where assign_ssrc is set */
    unsigned ssrc_count;       /* 0: they are learned */
    uint32_t ssrc[SA_SSRC_MAX];
    bool assign_ssrc;  /* the sender, who is inside, is given an SSRC; a key is checked, not kept */
    uint32_t assigned; /* then: this one (admit_reserve_ssrc), which no other call has; 0: any */
    bool no_destination; /* its packets may lead nowhere for now: destination may be unknown */
    uint32_t rate;       /* octets per second; 0: as configured */
    char call_id[CALL_ID_SIZE];
    uint8_t media_index;
    char listener[NAME_SIZE];    /* that the sender sends to; "": any */
    char to_listener[NAME_SIZE]; /* that its packets leave from; "": the first of the family */
    char dmz[NAME_SIZE];         /* "": the first */
    uint64_t reverse;
    int64_t media_timeout_s; /* -1: as configured */
};

struct admit_error {
    const char *field; /* constant: the name of the request's member in the control protocol */
    char text[192];
};

/* Fills in error. Returns code. field and what is formatted: as in struct admit_error. */
int admit_refuse(struct admit_error *error, int code, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* 0 and *sa (the table's), or negative with error; nothing is changed then. */
int admit(struct inner *inner, const struct admit_request *request, uint64_t wall_us,
          uint64_t now_us, struct sa **sa, struct admit_error *error);

/*
 * All that admit() would refuse this request for, or with old admit_change(); changes nothing. Two
 * requests that are each right may still be in each other's way. 0, or negative with error.
 */
int admit_check(struct inner *inner, const struct admit_request *request, const struct sa *old,
                struct admit_error *error);

/*
 * Makes an SA what the request says; its side, its dmz-relay, and whether its SSRC is assigned,
 * stay. With the same key, ROC and replay windows go on. Bindings go on where source, hint and
 * policy are signalled as they were before, else they begin anew. What the request leaves as it is
 * is not told to the dmz-relay again. sa and its SA of reverse (which learns that it is, or that it
 * is no more) stay where they are. 0, or negative with error; nothing is changed then.
 */
int admit_change(struct inner *inner, struct sa *sa, const struct admit_request *request,
                 uint64_t now_us, struct admit_error *error);

/* Its packets lead nowhere from now on, and it has no reverse. Nothing else of it changes. */
void admit_park(struct inner *inner, struct sa *sa);

/*
 * An SSRC that no SA has, nor had in the last seconds, and that is promised to nobody: for a sender
 * inside that is told it before its SA is added. inner->promises holds it until then, if the caller
 * puts it there. Never 0.
 */
uint32_t admit_reserve_ssrc(const struct inner *inner);

/* The family of the listener that the sender sends to, as far as it is known: 4, 6, or 0. */
uint8_t admit_source_family(const struct admit_request *request);

/*
 * Fills in the source of an external sender, or the destination of an internal one: this peer's
 * address, or with "self" our own dmz-relay's, where sites meet. From outside to outside it is the
 * destination where source or hint is known, else the source. 0, or negative with error.
 */
int admit_peer(const struct inner *inner, const char *name, struct admit_request *request,
               struct admit_error *error);

/*
 * A new key for an SA, of the same suite or of another; the old one is good for OLD_KEY_US more.
 * The same key again changes nothing, and where the SSRC was assigned, only another suite does.
 * 0, or negative with error; nothing is changed then.
 */
int admit_rekey(struct inner *inner, struct sa *sa, const struct suite *suite,
                const struct srtp_key *key, uint64_t now_us, struct admit_error *error);

#endif
