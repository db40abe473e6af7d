#define LOG_MODULE "admit"
#include "inner-relay/admit.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/sa/rekey.h"
#include "common/sa/table.h"
#include "inner-relay/judge.h"
#include "inner-relay/plan.h"

/* Without a key: packets have the shape of one suite or of the other. Is anything another? */
static int change_suite(struct inner *inner, struct sa *sa, const struct suite *suite,
                        uint64_t now_us)
{
    const struct suite *before = sa->suite;

    if (suite == before)
        return 0;
    sa->suite = suite;
    sa->generation++;
    if (before)
        rekey_suite(table_old_keys(inner->table), sa, before, now_us);
    return 1;
}

/* 1: it has a new key, 0: it had this one, or an error of srtp_session_new(). */
static int change_key(struct inner *inner, struct sa *sa, const struct suite *suite,
                      const struct srtp_key *key, uint64_t now_us)
{
    struct srtp_session *before = sa->srtp, *session = NULL;
    int result;

    if (srtp_session_is(before, suite, key))
        return 0;
    result = srtp_session_new(inner->options.engine, &session, suite, key);
    if (result < 0)
        return result;
    sa->srtp = session;
    sa->suite = suite;
    sa->generation++;
    rekey(table_old_keys(inner->table), sa, before, sa->stream, sa->stream_count, now_us);
    return 1;
}

int admit_rekey(struct inner *inner, struct sa *sa, const struct suite *suite,
                const struct srtp_key *key, uint64_t now_us, struct admit_error *error)
{
    struct inner_link *link = &inner->links[sa->owner];
    int result = judge_key(inner, suite, key, error), changed;

    if (result < 0)
        return result;
    changed = sa_is_assigned(sa) ? change_suite(inner, sa, suite, now_us)
                                 : change_key(inner, sa, suite, key, now_us);
    if (changed < 0)
        return admit_refuse(error, changed, "key", "no SRTP session could be made: %s",
                            err_text(changed));
    if (changed == 0)
        return 0;
    authority_changed(&link->authority, sa);
    log_debug("SA %llu has a new key, generation %u", (unsigned long long)sa->id, sa->generation);
    inner->hooks.kick(inner->hooks.ctx, link);
    inner->hooks.changed(inner->hooks.ctx);
    return 0;
}