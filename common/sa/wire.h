/* SAs as fields: in SA-PUT, and in the records of the state file. */
#ifndef COMMON_SA_WIRE_H
#define COMMON_SA_WIRE_H

#include "common/base/reader.h"
#include "common/base/writer.h"
#include "common/sa/sa.h"

/*
 * The dmz-relay gets what it needs and no more: of an external sender its source, suite and SSRCs,
 * but not where its packets go inside; of an internal one where its packets go, but no key. Of what
 * goes from outside to outside it gets both, and of what stays inside nothing.
 */
enum wire_view {
    WIRE_REPLICA_VERIFY_ONLY, /* authentication keys; of AEAD suites, which have none, all */
    WIRE_REPLICA_FULL,        /* master key and salt */
    WIRE_REPLICA_KEYLESS,     /* no key */
    WIRE_STATE,               /* all of it */
};

void wire_put_sa(struct writer *w, const struct sa *sa, enum wire_view view);
/* The same without its Call-ID. */
void wire_put_nameless(struct writer *w, const struct sa *sa, enum wire_view view);

/*
 * Reads the fields into sa, fresh from sa_new(), and the key beside it, which the caller wipes in
 * any case; its kind is SRTP_KEY_NONE when there is none. 0; ERR_PROTOCOL for fields that no honest
 * peer makes (the tunnel is then closed); ERR_UNSUPPORTED for a suite that this version does not
 * have (sa->id is set); ERR_NOMEM.
 */
int wire_get_sa(struct reader *r, struct sa *sa, struct srtp_key *key);
/*
 * The same of what was written for WIRE_STATE. Where a sender outside is bound, the dmz-relay had
 * said: it becomes its last word (far.h), and the source stays as it was signalled.
 */
int wire_get_saved_sa(struct reader *r, struct sa *sa, struct srtp_key *key);

/*
 * Of where a sender sends from, as it was signalled: another one when that was signalled anew. sa
 * has not been bound since.
 */
uint32_t wire_source_print(const struct sa *sa);

/* SA-DELETE. */
struct wire_delete {
    uint64_t id;
    uint64_t version;
};
void wire_put_delete(struct writer *w, const struct wire_delete *deletion);
int wire_get_delete(struct reader *r, struct wire_delete *deletion);

/* SA-NAK. */
struct wire_nak {
    uint64_t id;
    uint32_t generation;
    int error; /* negative, an err code */
    char reason[SA_REFUSED_SIZE];
};
void wire_put_nak(struct writer *w, const struct wire_nak *nak);
int wire_get_nak(struct reader *r, struct wire_nak *nak);

/* SYNC-BEGIN and SYNC-END. */
struct wire_sync {
    uint8_t kind; /* enum sync_kind */
    uint64_t epoch, version;
};
void wire_put_sync(struct writer *w, const struct wire_sync *sync);
int wire_get_sync(struct reader *r, struct wire_sync *sync);

#endif
