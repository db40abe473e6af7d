#define LOG_MODULE "inner"
#include "inner-relay/inner.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/sa/far.h"
#include "common/sa/rekey.h"
#include "common/sa/table.h"

/* What one call of inner_work looks at and deletes at most. */
enum { AGE_LOOKS = 64, AGE_DELETIONS = 4 };

static void on_streams_kick(void *ctx)
{
    struct inner_link *link = ctx;

    link->inner->hooks.kick(link->inner->hooks.ctx, link);
}

static void on_streams_refuse(void *ctx, const uint8_t *body, size_t length)
{
    struct inner_link *link = ctx;

    if (link->session)
        session_control(link->session, FRAME_STREAM_RESET, body, length);
}

static const struct streams_hooks streams_hooks = {on_streams_kick, on_streams_refuse};

int inner_init(struct inner *inner, const struct inner_options *options, const char *const *names,
               const struct path_out *out, const struct inner_hooks *hooks)
{
    memset(inner, 0, sizeof(*inner));
    inner->options = *options;
    if (!options->source_policy)
        inner->options.source_policy = SOURCE_STRICT;
    inner->out = *out;
    inner->hooks = *hooks;
    inner->next_id = 1;
    inner->table = table_new(options->max_sas);
    inner->budget = budget_new();
    if (!inner->table || !inner->budget)
        return ERR_NOMEM;
    outbound_init(inner);
    for (; names[inner->link_count] && inner->link_count < INNER_LINKS_MAX; inner->link_count++) {
        struct inner_link *link = &inner->links[inner->link_count];

        link->inner = inner;
        link->number = (unsigned)inner->link_count;
        link->name = names[inner->link_count];
        streams_init(&link->streams, true, &streams_hooks, link);
        if (authority_init(&link->authority, inner->table, link->number) < 0)
            return ERR_NOMEM;
    }
    return 0;
}

void inner_fini(struct inner *inner)
{
    for (size_t i = 0; i < inner->link_count; i++) {
        streams_fini(&inner->links[i].streams);
        authority_fini(&inner->links[i].authority);
        for (unsigned p = 0; p < WORKERS_MAX; p++)
            free(inner->links[i].pairs[p]);
    }
    promises_fini(&inner->promises);
    table_free(inner->table);
    budget_free(inner->budget);
    memset(inner, 0, sizeof(*inner));
}

struct inner_link *inner_find_link(struct inner *inner, const char *name)
{
    for (size_t i = 0; i < inner->link_count; i++) {
        if (!inner->links[i].forwarder && (!name[0] || strcmp(inner->links[i].name, name) == 0))
            return &inner->links[i];
    }
    return NULL;
}

struct sa *inner_find_sa(struct inner *inner, uint64_t id)
{
    struct sa *sa = NULL;

    for (unsigned i = 0; i < inner->link_count && !sa; i++)
        sa = table_by_id(inner->table, i, id);
    return sa;
}

bool inner_is_single(struct inner *inner, const struct sa *sa, uint64_t id)
{
    return sa->reverse == id || sa->reverse == 0 || !inner_find_sa(inner, sa->reverse);
}

/* The dmz-relay shows it too. */
static void set_reverse(struct inner *inner, struct sa *sa, uint64_t reverse)
{
    struct inner_link *link = &inner->links[sa->owner];

    sa->reverse = reverse;
    authority_changed(&link->authority, sa);
    inner->hooks.kick(inner->hooks.ctx, link);
}

void inner_tie(struct inner *inner, const struct sa *sa)
{
    struct sa *other = sa->reverse ? inner_find_sa(inner, sa->reverse) : NULL;

    if (other && inner_is_single(inner, other, 0))
        set_reverse(inner, other, sa->id);
}

void inner_untie(struct inner *inner, const struct sa *sa)
{
    struct sa *other = sa->reverse ? inner_find_sa(inner, sa->reverse) : NULL;

    if (other && other->reverse == sa->id)
        set_reverse(inner, other, 0);
}

static void told(struct inner *inner, const struct sa *sa)
{
    inner->hooks.kick(inner->hooks.ctx, &inner->links[sa->owner]);
    inner->hooks.changed(inner->hooks.ctx);
}

void inner_take_out(struct inner *inner, struct sa *sa, uint64_t now_us)
{
    authority_removed(&inner->links[sa->owner].authority, sa, now_us);
    table_remove(inner->table, sa);
}

void inner_dispose(struct inner *inner, struct sa *sa)
{
    inner->hooks.deleted(inner->hooks.ctx, sa->id);
    told(inner, sa);
    sa_free(sa);
}

int inner_put_back(struct inner *inner, struct sa *sa)
{
    int result = table_insert(inner->table, sa);

    if (result < 0) {
        inner_dispose(inner, sa);
        return result;
    }
    authority_revived(&inner->links[sa->owner].authority, sa);
    told(inner, sa);
    return 0;
}

void inner_forget(struct inner *inner, struct sa *sa)
{
    authority_forget(&inner->links[sa->owner].authority, sa);
    table_remove(inner->table, sa);
    sa_free(sa);
}

void inner_delete(struct inner *inner, struct sa *sa, uint64_t now_us)
{
    inner_take_out(inner, sa, now_us);
    inner_dispose(inner, sa);
}

/* ------------------------------------------------------------ media-timeout */

/*
 * From outside to outside the dmz-relay says when it heard a packet last. It may know of later ones
 * while its tunnel is down, and until it has reported after that: then this counts from now, or
 * from when the tunnel came up.
 */
static uint64_t heard_far(const struct inner *inner, const struct sa *sa, uint64_t now_us)
{
    const struct inner_link *link = &inner->links[sa->owner];
    bool up = link->session && session_state(link->session) == SESSION_UP;
    struct sa_report report;
    uint64_t heard_us = 0;

    if (far_get(sa, &report, NULL, now_us) && report.age_us < now_us)
        heard_us = now_us - report.age_us;
    if (!up)
        return now_us;
    return heard_us > link->changed_us ? heard_us : link->changed_us;
}

bool inner_is_silent(const struct inner *inner, const struct sa *sa, uint32_t timeout_s,
                     uint64_t now_us)
{
    uint64_t heard_us = sa->last_packet_us;

    if (sa->hairpin && sa->side == SA_SIDE_EXTERNAL)
        heard_us = heard_far(inner, sa, now_us);
    if (heard_us < sa->installed_us)
        heard_us = sa->installed_us;
    return now_us - heard_us >= (uint64_t)timeout_s * 1000000;
}

/* A call lives as long as media comes in either of its directions. */
static bool is_over(struct inner *inner, const struct sa *sa, uint64_t now_us)
{
    const struct sa *reverse;

    if (sa->media_timeout_s == 0 || sa_ends_with_call(sa) ||
        !inner_is_silent(inner, sa, sa->media_timeout_s, now_us))
        return false;
    reverse = sa->reverse ? inner_find_sa(inner, sa->reverse) : NULL;
    return !reverse || inner_is_silent(inner, reverse, sa->media_timeout_s, now_us);
}

/* Deletions take much longer than looks. */
static void age(struct inner *inner, uint64_t now_us)
{
    unsigned looks = AGE_LOOKS, deletions = AGE_DELETIONS;
    struct sa *sa;

    while (looks-- > 0 && deletions > 0 && (sa = table_walk_next(inner->table, &inner->aging))) {
        if (!is_over(inner, sa, now_us)) {
            if (inner->media.seen)
                inner->media.seen(inner->media.ctx, sa);
            continue;
        }
        log_info("SA %llu deleted: no media for %u s", (unsigned long long)sa->id,
                 sa->media_timeout_s);
        inner_delete(inner, sa, now_us);
        deletions--;
    }
}

void inner_tick(struct inner *inner)
{
    if (inner->aging.left == 0)
        table_walk_begin(inner->table, &inner->aging);
}

bool inner_work(struct inner *inner, uint64_t now_us)
{
    bool more;

    inner_adopt(inner);
    age(inner, now_us);
    more = inner->aging.left > 0;
    for (size_t i = 0; i < inner->link_count; i++) {
        more |= authority_tick(&inner->links[i].authority, now_us);
        more |= streams_work(&inner->links[i].streams, now_us);
    }
    more |= table_work(inner->table);
    more |= rekey_tick(table_old_keys(inner->table), now_us, OLD_KEYS_PIECE);
    return more;
}
