#include "common/sa/review.h"

#include <stdio.h>

#include "common/base/err.h"
#include "common/sa/wire.h"

void review_begin(struct replica *replica)
{
    replica->review_next = replica->oldest;
    replica->review_looks = REVIEW_PIECE;
    replica->review_refused = 0;
}

/* It stays in the table: what it counts is shown, and a reload that is taken back brings it back.
 */
static const char *refuse(struct replica *replica, struct sa *sa, const char *why)
{
    sa->refused = true;
    replica->review_refused++;
    if (sa_to_side(sa) == SA_SIDE_EXTERNAL)
        sa->destination = (struct sa_transport){.mux = sa->destination.mux};
    return why;
}

/* What there is to say of it; NULL: nothing. */
static const char *judge(struct replica *replica, struct sa *sa, int *error)
{
    const char *why;

    if (sa->refused) {
        sa->refused = false;
        *error = ERR_AGAIN;
        return "the peers and networks of the dmz-relay have changed";
    }
    why = replica_rules_refusal(replica, sa);
    *error = ERR_FORBIDDEN;
    return why ? refuse(replica, sa, why) : NULL;
}

static bool put_nak(const struct sa *sa, int error, const char *why, uint8_t *type,
                    struct writer *body)
{
    struct wire_nak nak = {.id = sa->id, .generation = sa->generation, .error = error};

    snprintf(nak.reason, sizeof(nak.reason), "%s", why);
    *type = FRAME_SA_NAK;
    wire_put_nak(body, &nak);
    return true;
}

bool review_pull(struct replica *replica, uint8_t *type, struct writer *body, bool *more)
{
    *more = false;
    while (replica->review_next && replica->review_looks > 0) {
        struct sa *sa = replica->review_next;
        int error;
        const char *why = judge(replica, sa, &error);

        replica->review_next = sa->newer;
        replica->review_looks--;
        if (why)
            return put_nak(sa, error, why, type, body);
    }
    replica->review_looks = REVIEW_PIECE;
    *more = replica->review_next != NULL;
    return false;
}
