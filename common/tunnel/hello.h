/* The bodies of HELLO, HELLO-ACK, PING, PONG and BYE. */
#ifndef COMMON_TUNNEL_HELLO_H
#define COMMON_TUNNEL_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/addr.h"
#include "common/base/protocol.h"
#include "common/base/reader.h"
#include "common/base/writer.h"

enum { HELLO_LISTENERS_MAX = 8, BYE_REASON_SIZE = 128 };

struct hello_listener {
    char name[NAME_SIZE];
    struct addr advertise; /* with the RTP port; RTCP is the next one */
    int m_line;            /* -1: any */
};

/* HELLO comes from the inner-relay, HELLO-ACK from the dmz-relay; each leaves the other's fields 0.
 */
struct hello {
    uint16_t version_min, version_max; /* HELLO */
    uint16_t version;                  /* HELLO-ACK */
    uint64_t features;
    uint64_t epoch;
    uint64_t instance; /* HELLO */
    uint64_t sa_version;
    uint32_t capacity, quota; /* HELLO-ACK */
    uint8_t worker;  /* HELLO: 0: it carries control, else the number of a media connection */
    uint64_t meet;   /* HELLO of a media connection: two sites meet there; 0: it is for media */
    uint8_t workers; /* HELLO-ACK: threads; 0: it did not say */
    char software[NAME_SIZE];
    char engine[NAME_SIZE];
    char site[SITE_SIZE];  /* HELLO-ACK */
    size_t listener_count; /* HELLO-ACK */
    struct hello_listener listener[HELLO_LISTENERS_MAX];
};

void hello_put(struct writer *w, const struct hello *hello);
/* 0 or ERR_PROTOCOL. ERR_UNSUPPORTED: no version in common. */
int hello_get(struct reader *r, struct hello *hello);

void hello_ack_put(struct writer *w, const struct hello *hello);
int hello_ack_get(struct reader *r, struct hello *hello);

struct ping {
    uint64_t clock_us;   /* of the one who sent PING; PONG gives it back */
    uint64_t sa_version; /* the authority's, for display */
};
void ping_put(struct writer *w, const struct ping *ping);
int ping_get(struct reader *r, struct ping *ping);

/* What does not fit into BYE_REASON_SIZE is cut off. */
void bye_put(struct writer *w, const char *reason);
int bye_get(struct reader *r, char reason[BYE_REASON_SIZE]);

#endif
