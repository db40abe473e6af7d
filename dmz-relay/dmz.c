#define LOG_MODULE "dmz"
#include "dmz-relay/dmz.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/sa/rekey.h"
#include "common/sa/reporter.h"
#include "common/sa/review.h"
#include "common/sa/table.h"

/* What one call of dmz_work deletes at most. */
enum { SWEEP_PIECE = 4 };

static void nak(void *ctx, const struct wire_nak *refused)
{
    struct dmz_site *site = ctx;
    uint8_t memory[FRAME_MAX_OCTETS];
    struct writer body;

    log_debug("site %s: SA %llu refused: %s", site->name, (unsigned long long)refused->id,
              refused->reason);
    if (!site->link)
        return;
    writer_init(&body, memory, sizeof(memory));
    wire_put_nak(&body, refused);
    session_control(site->link->session, FRAME_SA_NAK, memory, writer_length(&body));
}

static const char *listener_refusal(void *ctx, const struct sa *sa)
{
    struct dmz_site *site = ctx;
    struct dmz *dmz = site->link->dmz;
    int listener = path_find_listener(dmz->listeners, dmz->listener_count,
                                      sa_text(sa, SA_LISTENER_OUT), sa->destination.rtp.family);

    if (listener >= 0 && dmz->listeners[listener].address.family == sa->destination.rtp.family)
        return NULL;
    return sa_text(sa, SA_LISTENER_OUT)[0]
               ? "the dmz-relay has no listener of this name and family"
               : "the dmz-relay has no listener of the destination's family";
}

static bool yield(void *ctx, struct sa *sa)
{
    const struct dmz_site *site = ctx;
    struct dmz *dmz = site->link->dmz;
    bool done = sa && replica_yield(&dmz->sites[sa->owner].replica, sa);

    for (size_t i = 0; i < dmz->site_count && !sa && !done; i++)
        done = &dmz->sites[i] != site && replica_sweep(&dmz->sites[i].replica, 1) > 0;
    return done;
}

static void on_streams_kick(void *ctx)
{
    struct dmz_site *site = ctx;

    if (site->link)
        site->link->dmz->hooks.kick(site->link->dmz->hooks.ctx, site->link);
}

static void on_streams_refuse(void *ctx, const uint8_t *body, size_t length)
{
    struct dmz_site *site = ctx;

    if (site->link)
        session_control(site->link->session, FRAME_STREAM_RESET, body, length);
}

static const struct streams_hooks streams_hooks = {on_streams_kick, on_streams_refuse};

static void on_exchange_kick(void *ctx, unsigned site)
{
    struct dmz *dmz = ctx;

    if (dmz->sites[site].link)
        dmz->hooks.kick(dmz->hooks.ctx, dmz->sites[site].link);
}

static void on_exchange_tell(void *ctx, unsigned site, const uint8_t *body, size_t length)
{
    struct dmz *dmz = ctx;

    if (!dmz->sites[site].link)
        return;
    session_control(dmz->sites[site].link->session, FRAME_SITE_STATE, body, length);
    on_exchange_kick(dmz, site);
}

static const struct exchange_hooks exchange_hooks = {on_exchange_kick, on_exchange_tell};

static bool on_passes_may(void *ctx, unsigned a, unsigned b)
{
    return exchange_may_meet(((struct dmz *)ctx)->exchange, a, b);
}

static void on_passes_tell(void *ctx, unsigned site, const uint8_t *body, size_t length)
{
    struct dmz *dmz = ctx;

    if (!dmz->sites[site].link)
        return;
    session_control(dmz->sites[site].link->session, FRAME_PASS_STATE, body, length);
    on_exchange_kick(dmz, site);
}

static const struct replica_hooks replica_hooks = {nak, listener_refusal, yield};

int dmz_init(struct dmz *dmz, const struct dmz_options *options, const char *const *names,
             const struct path_out *out, const struct dmz_hooks *hooks)
{
    struct passes_hooks passes_hooks = {on_passes_may, on_passes_tell, on_exchange_kick, dmz};

    memset(dmz, 0, sizeof(*dmz));
    dmz->options = *options;
    dmz->out = *out;
    dmz->hooks = *hooks;
    dmz->table = table_new(options->max_sas);
    dmz->budget = budget_new();
    if (!dmz->table || !dmz->budget)
        return ERR_NOMEM;
    inbound_init(dmz);
    for (; names[dmz->site_count] && dmz->site_count < DMZ_SITES_MAX; dmz->site_count++) {
        struct dmz_site *site = &dmz->sites[dmz->site_count];

        site->name = names[dmz->site_count];
        replica_init(&site->replica, dmz->table, options->engine, (unsigned)dmz->site_count,
                     options->site_quota, &dmz->rules, &replica_hooks, site);
        site->replica.several_sites = names[1] != NULL;
        streams_init(&site->streams, false, &streams_hooks, site);
    }
    passes_init(&dmz->passes, names, dmz->site_count, &passes_hooks);
    dmz->exchange = exchange_new(names, dmz->site_count, &exchange_hooks, dmz);
    return dmz->exchange ? 0 : ERR_NOMEM;
}

static void fini_site(struct dmz_site *site)
{
    streams_fini(&site->streams);
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        free(site->pairs[i]);
}

void dmz_fini(struct dmz *dmz)
{
    for (size_t i = 0; i < dmz->site_count; i++)
        fini_site(&dmz->sites[i]);
    exchange_free(dmz->exchange);
    table_free(dmz->table);
    budget_free(dmz->budget);
    memset(dmz, 0, sizeof(*dmz));
}

/* An inner-relay that does not know SA-REPORT would end the tunnel. */
static void begin_reports(struct dmz *dmz, struct dmz_site *site)
{
    if (!(session_peer(site->link->session)->features & FEATURE_REPORT))
        return;
    site->stats_due = true;
    reporter_begin(&site->replica);
    dmz->hooks.kick(dmz->hooks.ctx, site->link);
}

void dmz_tick(struct dmz *dmz, uint64_t now_us)
{
    for (size_t i = 0; i < dmz->site_count; i++) {
        struct dmz_site *site = &dmz->sites[i];

        if (site->link)
            begin_reports(dmz, site);
        if (site->link || replica_is_empty(&site->replica) ||
            now_us - site->left_us < dmz->options.stale_hold_us)
            continue;
        log_warning("site %s has been away for longer than stale-hold: its %zu SAs are deleted",
                    site->name, table_count_owner(dmz->table, (unsigned)i));
        replica_clear(&site->replica);
    }
}

void dmz_rules_changed(struct dmz *dmz)
{
    for (size_t i = 0; i < dmz->site_count; i++) {
        struct dmz_site *site = &dmz->sites[i];

        review_begin(&site->replica);
        if (site->link)
            dmz->hooks.kick(dmz->hooks.ctx, site->link);
    }
}

bool dmz_work(struct dmz *dmz, uint64_t now_us)
{
    unsigned left = SWEEP_PIECE;
    bool more = false;

    /* Packets that wait to be sent hold their SA. */
    dmz->out.flush(dmz->out.ctx);
    dmz_adopt(dmz);
    for (size_t i = 0; i < dmz->site_count && left > 0; i++)
        left -= replica_sweep(&dmz->sites[i].replica, left);
    if (table_work(dmz->table))
        left = 0;
    for (size_t i = 0; i < dmz->site_count && !more; i++)
        more = streams_work(&dmz->sites[i].streams, now_us);
    return rekey_tick(table_old_keys(dmz->table), now_us, OLD_KEYS_PIECE) || left == 0 || more;
}

bool dmz_has_work(const struct dmz *dmz)
{
    for (size_t i = 0; i < dmz->site_count; i++) {
        if (replica_sweep_due(&dmz->sites[i].replica) || streams_has_work(&dmz->sites[i].streams))
            return true;
    }
    return table_work_due(dmz->table);
}
