/*
 * One SIP call, as its offers and answers have made it: the parties, known by their tags, what
 * each has said of its m= lines, and the SAs that came of that. An offer is staged and changes
 * nothing; its answer commits it, for all m= lines or for none.
 */
#ifndef INNER_RELAY_CALL_H
#define INNER_RELAY_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/protocol.h"
#include "common/sa/sa.h"
#include "inner-relay/promises.h"

/*
 * Of one call: who takes part in it, branches of a fork included, and the offers that may still be
 * answered. CALL_SIDS_SIZE: of a Call-ID, a tag or a branch, with the NUL.
 */
enum { CALL_PARTIES_MAX = 10, CALL_STAGES_MAX = 8, CALL_LINES_MAX = 16, CALL_TEXT_SIZE = 512 };

/* Octets of SDP that each call may keep; what is more comes out of one pool for all calls. */
enum { CALL_OCTETS_FREE = 4096 };

/* What an m= line is, and what becomes of its media; for display only. UNKNOWN: after a restart. */
enum call_kind {
    CALL_KIND_UNKNOWN,
    CALL_KIND_AUDIO,
    CALL_KIND_VIDEO,
    CALL_KIND_TEXT,
    CALL_KIND_IMAGE,
    CALL_KIND_MESSAGE,
    CALL_KIND_APPLICATION,
    CALL_KIND_OTHER
};
enum call_way {
    CALL_WAY_UNKNOWN,
    CALL_WAY_RELAYED,
    CALL_WAY_DIRECT,   /* both are inside, and their SDP was left alone */
    CALL_WAY_REJECTED, /* port 0 */
    CALL_WAY_UNTOUCHED /* no RTP: it does not go through the relay */
};

/* One m= line of a party, as its last committed SDP has it. */
struct call_line {
    uint64_t sa;            /* id of what this party sends; 0, or one that is gone: none */
    struct sa_transport at; /* where it said it is; family 0: it never did */
    uint32_t assigned;      /* the SSRC that it was given, 0: none */
    bool held;              /* no media is expected: sendonly, recvonly, inactive, 0.0.0.0 */
    uint8_t kind, way;      /* enum call_kind, enum call_way */
};

struct call_party {
    char *tag; /* NULL: not known (after a restart) */
    enum sa_side side;
    struct addr signalling; /* where its last message came from; port 0; family 0: not said */
    uint8_t family;         /* that it is shown addresses of; 0: any */
    bool assign;            /* it is given its SSRCs */
    int partner;            /* the party that its media goes to; -1: none */
    int hub;                /* the party that this one is a branch of; -1: none */
    uint64_t answered_us;   /* a branch: when it had the media last by an answer */
    uint64_t committed;     /* a branch: serial of the newest offer that it and its hub agreed on */
    unsigned line_count;
    struct call_line line[CALL_LINES_MAX];
};

/* What one has answered to an offer. */
struct call_answer {
    int party;
    uint64_t print;
};

/*
 * An offer that may still be answered, by one branch or by several; or, answered, one whose answer
 * may come again.
 */
struct call_stage {
    unsigned offerer;      /* a party */
    char *to_tag, *branch; /* as they came with it; "": without */
    char *sdp;             /* with keys: it is wiped */
    size_t sdp_length;
    unsigned line_count; /* m= lines */
    uint64_t print;      /* of what was said: it tells repeats */
    uint64_t *key_print; /* of its keys: they tell a spiral */
    unsigned key_count;
    uint64_t serial; /* rises with each offer of the call */
    uint64_t at_us;  /* when it came, or was answered last */
    enum sa_side offerer_side;
    struct addr signalling; /* of the offerer */
    enum sa_side side;      /* of those that may answer */
    bool side_said;         /* by the proxy, which has sent it there */
    bool direct;            /* the SDP is left alone: both are inside */
    bool assign;            /* who is inside is given SSRCs */
    uint8_t family;         /* that who answers is shown addresses of; 0: as the offerer's */
    uint32_t assigned[CALL_LINES_MAX]; /* that are promised to who answers: call_promise() */
    bool again;                        /* offered once more since it was answered, perhaps anew */
    bool answered;                     /* by somebody, who may be gone */
    unsigned answer_count;
    struct call_answer answer[CALL_PARTIES_MAX]; /* of each the last one */
};

struct call {
    char *call_id;
    struct promises *promises;         /* the core's */
    uint64_t number;                   /* never used again */
    uint64_t created_us, signalled_us; /* since 1970: the first and the last message */
    uint64_t began_us, heard_us;       /* the same, monotonic */
    unsigned link;                     /* the [dmz NAME] that its SAs live on */
    unsigned party_count;
    struct call_party *party[CALL_PARTIES_MAX + 1]; /* one too many until its answer is taken */
    unsigned stage_count;                           /* the oldest first */
    struct call_stage *stage[CALL_STAGES_MAX];
    uint64_t serial; /* of the last offer */
    bool answered;   /* something was committed */
    bool restored;   /* from the state file: its tags are not known */
    size_t reserved; /* SAs that it may need yet */
    size_t octets;   /* of SDP, in its stages */
    size_t *staged;  /* of all calls what is above CALL_OCTETS_FREE each; NULL: nobody counts */
    uint32_t slot;   /* the table's, as the next two */
    struct call *next_by_id;
    uint64_t hash;
};

/*
 * What a call's SAs have as their Call-ID, which the tunnel and the state file carry: the Call-ID,
 * or, where that is too long or not printable, its head and a check sum. That of what it writes is
 * the same again.
 */
void call_label(const char *call_id, char out[CALL_ID_SIZE]);

/* NULL without memory. */
struct call *call_new(const char *call_id);
/* Wipes what it holds; its SAs are the caller's business. Accepts NULL. */
void call_free(struct call *call);

/* Is one of the tags a party's, or one that an offer is for? Any is where none is known. */
bool call_has_tag(const struct call *call, const char *tag, const char *other_tag);
/* -1: none has this tag. */
int call_find_party(const struct call *call, const char *tag);
/* Its number, or ERR_FULL, ERR_NOMEM. One may be too many, for a while. */
int call_add_party(struct call *call, const char *tag);
/* Parties behind it move up. */
void call_remove_party(struct call *call, unsigned number);

/* A new one at the end; with CALL_STAGES_MAX already there, the oldest is let go,
 * of those that were answered if there are any. NULL without
 * memory. */
struct call_stage *call_add_stage(struct call *call, const char *to_tag, const char *branch,
                                  const char *sdp, size_t sdp_length);
/* Copied. False without memory: it has none then. */
bool call_set_keys(struct call_stage *stage, const uint64_t *print, unsigned count);
/* What so many octets of SDP take of the pool. */
size_t call_octets_above(size_t octets);
/* Lets an offer go that was answered, the oldest one. False: there is none. */
bool call_forget_answered(struct call *call);
/* Nobody else is given these while the offer is there. */
void call_promise(struct call *call, struct call_stage *stage,
                  const uint32_t assigned[CALL_LINES_MAX]);
void call_remove_stage(struct call *call, unsigned number);
/* What this party has answered to it; NULL: nothing yet. */
const struct call_answer *call_answer_of(const struct call_stage *stage, int party);
void call_set_answer(struct call_stage *stage, int party, uint64_t print);
/* Serial of the newest offer that these two have agreed on. */
uint64_t *call_committed(struct call *call, unsigned one, unsigned other);
/* Have the offerer and somebody who answered it agreed on something newer since? */
bool call_is_superseded(struct call *call, const struct call_stage *stage);

/* Is some line of it on hold? Silence does not end it then. */
bool call_is_held(const struct call *call);

#endif
