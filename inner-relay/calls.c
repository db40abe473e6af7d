#define LOG_MODULE "calls"
#include "inner-relay/calls.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/sa/table.h"
#include "inner-relay/branches.h"
#include "inner-relay/leg.h"

/* What one call of calls_work looks at and ends at most. */
enum { AGE_LOOKS = 32, AGE_ENDINGS = 2 };
enum { LOG_PER_SECOND = 10 };

int calls_refuse(struct call_error *error, int code, const char *format, ...)
{
    va_list ap;

    error->code = code;
    va_start(ap, format);
    vsnprintf(error->text, sizeof(error->text), format, ap);
    va_end(ap);
    return code;
}

/* ------------------------------------------------------------ the table */

static size_t buckets_for(size_t max)
{
    size_t count = 16;

    while (count < max)
        count *= 2;
    return count;
}

struct calls *calls_new(struct inner *inner, const struct call_options *options)
{
    struct calls *calls = calloc(1, sizeof(*calls));
    size_t max = options->max_calls ? options->max_calls : 1, buckets = buckets_for(max);

    if (!calls)
        return NULL;
    calls->inner = inner;
    calls->options = *options;
    calls->max = max;
    calls->aging = max;
    calls->key = hash_key_random();
    calls->slot = calloc(max, sizeof(struct call *));
    calls->free_slot = calloc(max, sizeof(uint32_t));
    calls->bucket = calloc(buckets, sizeof(struct call *));
    calls->bucket_mask = buckets - 1;
    if (!calls->slot || !calls->free_slot || !calls->bucket) {
        calls_free(calls);
        return NULL;
    }
    for (size_t i = 0; i < max; i++)
        calls->free_slot[i] = (uint32_t)(max - 1 - i);
    return calls;
}

void calls_free(struct calls *calls)
{
    if (!calls)
        return;
    for (size_t i = 0; i < calls->max && calls->slot; i++)
        call_free(calls->slot[i]);
    free(calls->slot);
    free(calls->free_slot);
    free(calls->bucket);
    free(calls->scratch);
    free(calls);
}

void calls_set_options(struct calls *calls, const struct call_options *options)
{
    calls->options = *options;
}

static bool make_scratch(struct calls *calls, size_t size)
{
    if (calls->scratch_size >= size)
        return true;
    free(calls->scratch);
    calls->scratch = calloc(1, size);
    calls->scratch_size = calls->scratch ? size : 0;
    return calls->scratch;
}

void *calls_borrow(struct calls *calls, size_t size)
{
    if (calls->scratch_lent)
        return calloc(1, size);
    calls->scratch_lent = make_scratch(calls, size);
    return calls->scratch_lent ? calls->scratch : NULL;
}

void calls_give_back(struct calls *calls, void *memory, size_t size)
{
    if (!memory)
        return;
    wipe(memory, size);
    if (memory == calls->scratch)
        calls->scratch_lent = false;
    else
        free(memory);
}

/* By its label, which is all that is known of it after a restart. */
static uint64_t hash_of(const struct calls *calls, const char *call_id, char label[CALL_ID_SIZE])
{
    call_label(call_id, label);
    return hash_bytes(&calls->key, label, strlen(label));
}

static bool has_call_id(const struct call *call, const char *call_id, const char *label)
{
    return strcmp(call->call_id, call_id) == 0 ||
           (call->restored && strcmp(call->call_id, label) == 0);
}

struct call *calls_find(const struct calls *calls, const char *call_id, const char *tag,
                        const char *other_tag)
{
    char label[CALL_ID_SIZE];
    uint64_t hash = hash_of(calls, call_id, label);
    struct call *call = calls->bucket[hash & calls->bucket_mask];

    while (call && (call->hash != hash || !has_call_id(call, call_id, label) ||
                    !call_has_tag(call, tag, other_tag)))
        call = call->next_by_id;
    return call;
}

struct call *calls_find_next(const struct call *call)
{
    struct call *next = call->next_by_id;

    while (next && (next->hash != call->hash || strcmp(next->call_id, call->call_id) != 0))
        next = next->next_by_id;
    return next;
}

size_t calls_count_id(const struct calls *calls, const char *call_id)
{
    char label[CALL_ID_SIZE];
    uint64_t hash = hash_of(calls, call_id, label);
    const struct call *call = calls->bucket[hash & calls->bucket_mask];
    size_t count = 0;

    for (; call; call = call->next_by_id)
        count += call->hash == hash && has_call_id(call, call_id, label);
    return count;
}

size_t calls_count(const struct calls *calls)
{
    return calls->count;
}

size_t calls_max(const struct calls *calls)
{
    return calls->max;
}

struct call *calls_next(const struct calls *calls, size_t *at)
{
    while (*at < calls->max) {
        struct call *call = calls->slot[(*at)++];

        if (call)
            return call;
    }
    return NULL;
}

const struct calls_counts *calls_counts(const struct calls *calls)
{
    return &calls->counts;
}

struct call *calls_add(struct calls *calls, const char *call_id, uint64_t wall_us, uint64_t now_us)
{
    struct call *call = calls->count < calls->max ? call_new(call_id) : NULL;
    char label[CALL_ID_SIZE];
    struct call **bucket;

    if (!call)
        return NULL;
    call->hash = hash_of(calls, call_id, label);
    call->number = ++calls->next_number;
    call->promises = &calls->inner->promises;
    call->staged = &calls->staged;
    call->created_us = call->signalled_us = wall_us;
    call->began_us = call->heard_us = now_us;
    calls->offered++;
    call->slot = calls->free_slot[calls->max - ++calls->count];
    calls->slot[call->slot] = call;
    bucket = &calls->bucket[call->hash & calls->bucket_mask];
    call->next_by_id = *bucket;
    *bucket = call;
    return call;
}

void calls_set_answered(struct calls *calls, struct call *call)
{
    calls->offered -= !call->answered;
    call->answered = true;
}

void calls_remove(struct calls *calls, struct call *call)
{
    struct call **link = &calls->bucket[call->hash & calls->bucket_mask];

    while (*link != call)
        link = &(*link)->next_by_id;
    *link = call->next_by_id;
    calls_reserve(calls, call, 0);
    calls->offered -= !call->answered;
    calls->slot[call->slot] = NULL;
    calls->free_slot[calls->max - calls->count--] = call->slot;
    call_free(call);
}

void calls_reserve(struct calls *calls, struct call *call, size_t count)
{
    calls->reserved = calls->reserved - call->reserved + count;
    call->reserved = count;
}

void calls_reply_free(struct call_reply *reply)
{
    if (reply->sdp)
        wipe(reply->sdp, reply->sdp_length);
    free(reply->sdp);
    json_decref(reply->extra);
    *reply = (struct call_reply){0};
}

/* ------------------------------------------------------------ ends */

void calls_drop_lines(struct calls *calls, struct call_party *party, unsigned from, uint64_t now_us)
{
    for (unsigned i = from; i < party->line_count; i++) {
        struct sa *sa = party->line[i].sa ? inner_find_sa(calls->inner, party->line[i].sa) : NULL;

        party->line[i].sa = 0;
        if (sa)
            inner_delete(calls->inner, sa, now_us);
    }
}

void calls_end(struct calls *calls, struct call *call, uint64_t now_us)
{
    for (unsigned i = 0; i < call->party_count; i++)
        calls_drop_lines(calls, call->party[i], 0, now_us);
    log_debug("call %llu ended", (unsigned long long)call->number);
    calls_remove(calls, call);
}

/*
 * Is there a branch left, or one that may answer yet? An offer that was answered may be another
 * one's too, but when nobody else is known, it is over with those that are.
 */
static bool is_alive(const struct call *call)
{
    for (unsigned i = 0; i < call->stage_count; i++) {
        if (!call->stage[i]->answered)
            return true;
    }
    for (unsigned i = 0; i < call->party_count; i++) {
        if (call->party[i]->partner >= 0 || call->party[i]->hub >= 0)
            return true;
    }
    return false;
}

static unsigned number_of(const struct call *call, const struct call_party *party)
{
    unsigned i = 0;

    while (call->party[i] != party)
        i++;
    return i;
}

/* One branch of a fork, or the only one, which is the call: false, and call is gone. */
static bool end_branch(struct calls *calls, struct call *call, unsigned branch, uint64_t now_us)
{
    struct call_party *party = call->party[branch];
    struct call_party *hub = party->hub >= 0 ? call->party[party->hub] : NULL;
    bool had_media = party->partner >= 0;

    /* A re-offer between branches may have made another one its partner than its hub. */
    for (unsigned i = 0; i < call->party_count; i++) {
        if (call->party[i]->partner == (int)branch)
            leg_park(calls, call, i);
    }
    calls_drop_lines(calls, party, 0, now_us);
    call_remove_party(call, branch);
    if (is_alive(call)) {
        if (hub && had_media)
            branches_fall_back(calls, call, number_of(call, hub), now_us);
        return true;
    }
    calls_end(calls, call, now_us);
    return false;
}

/* The branch of the two parties; -1: neither is one of the other's. */
static int branch_of(const struct call *call, int from, int to)
{
    if (from < 0 || to < 0)
        return -1;
    if (call->party[to]->hub == from)
        return to;
    return call->party[from]->hub == to ? from : -1;
}

static int end_by_tags(struct calls *calls, struct call *call, const struct call_request *request,
                       uint64_t now_us, struct call_error *error)
{
    int from = call_find_party(call, request->from_tag);
    int to = call_find_party(call, request->to_tag);
    int branch = branch_of(call, from, to);

    if (call->restored || (to >= 0 && branch < 0) ||
        (to < 0 && !call->answered && call->stage_count <= 1)) {
        calls_end(calls, call, now_us);
        return 0;
    }
    if (branch < 0)
        return calls_refuse(error, ERR_NOT_FOUND, "the call has no branch with this to-tag");
    (void)end_branch(calls, call, (unsigned)branch, now_us);
    return 0;
}

static int find_branch(const struct call *call, const char *branch)
{
    for (unsigned i = 0; i < call->stage_count; i++) {
        if (strcmp(call->stage[i]->branch, branch) == 0)
            return (int)i;
    }
    return -1;
}

/* What was offered with this branch, and who answered it. A re-INVITE that nobody did is no call.
 */
static void end_stage(struct calls *calls, struct call *call, unsigned number, uint64_t now_us)
{
    const struct call_stage *stage = call->stage[number];
    struct call_party *gone[CALL_PARTIES_MAX];
    unsigned count = 0;
    bool alive;

    for (unsigned i = 0; i < stage->answer_count; i++) {
        int branch = branch_of(call, (int)stage->offerer, stage->answer[i].party);

        if (branch >= 0)
            gone[count++] = call->party[branch];
    }
    call_remove_stage(call, number);
    alive = count > 0 || is_alive(call);
    for (unsigned i = 0; i < count && alive; i++)
        alive = end_branch(calls, call, number_of(call, gone[i]), now_us);
    if (count == 0 && !alive)
        calls_end(calls, call, now_us);
}

static int end_by_branch(struct calls *calls, struct call *call, const char *via_branch,
                         uint64_t now_us, struct call_error *error)
{
    int i = find_branch(call, via_branch);

    if (i < 0 && call->stage_count > 0)
        return calls_refuse(error, ERR_NOT_FOUND, "the call has no branch with this via-branch");
    if (i < 0) {
        calls_end(calls, call, now_us);
        return 0;
    }
    end_stage(calls, call, (unsigned)i, now_us);
    return 0;
}

static int end_one(struct calls *calls, struct call *call, const struct call_request *request,
                   uint64_t now_us, struct call_error *error)
{
    if (request->via_branch[0])
        return end_by_branch(calls, call, request->via_branch, now_us, error);
    if (request->to_tag[0])
        return end_by_tags(calls, call, request, now_us, error);
    calls_end(calls, call, now_us);
    return 0;
}

const char *calls_ending_tag(const struct call_request *request)
{
    return request->from_tag[0] ? request->from_tag : request->to_tag;
}

int calls_delete(struct calls *calls, const struct call_request *request, uint64_t now_us,
                 struct call_error *error)
{
    struct call *call = calls_find(calls, request->call_id, calls_ending_tag(request), "");
    bool all = !request->from_tag[0] && !request->to_tag[0] && !request->via_branch[0];
    bool restored = call && call->restored && !request->via_branch[0];
    int result;

    *error = (struct call_error){0};
    if (!call)
        return calls_refuse(error, ERR_NOT_FOUND, "there is no call with this call-id and tag");
    /* One may be in several pieces after a restart. */
    do {
        result = end_one(calls, call, request, now_us, error);
        call = calls_find(calls, request->call_id, "", "");
    } while (call && (all || (restored && call->restored)));
    if (result == 0)
        calls->counts.deletes++;
    return result;
}

/* ------------------------------------------------------------ timeouts */

/* Has one of its SAs heard anything in that time? */
static bool hears_media(const struct calls *calls, const struct call *call, uint64_t now_us)
{
    uint32_t timeout_s = (uint32_t)(calls->options.media_timeout_us / 1000000);

    for (unsigned i = 0; i < call->party_count; i++) {
        const struct call_party *party = call->party[i];

        for (unsigned k = 0; k < party->line_count; k++) {
            const struct sa *sa =
                party->line[k].sa ? inner_find_sa(calls->inner, party->line[k].sa) : NULL;

            if (sa && !inner_is_silent(calls->inner, sa, timeout_s, now_us))
                return true;
        }
    }
    return false;
}

static void forget_offers(const struct calls *calls, struct call *call, uint64_t now_us)
{
    for (unsigned i = call->stage_count; i-- > 0;) {
        if (now_us - call->stage[i]->at_us >= calls->options.offer_timeout_us)
            call_remove_stage(call, i);
    }
}

static bool has_sas(const struct call *call)
{
    for (unsigned i = 0; i < call->party_count; i++) {
        for (unsigned k = 0; k < call->party[i]->line_count; k++) {
            if (call->party[i]->line[k].sa)
                return true;
        }
    }
    return false;
}

/* Were there SAs, and was each deleted by somebody else (relayctl sa delete)? */
static bool is_stripped(const struct calls *calls, const struct call *call)
{
    for (unsigned i = 0; i < call->party_count; i++) {
        for (unsigned k = 0; k < call->party[i]->line_count; k++) {
            uint64_t id = call->party[i]->line[k].sa;

            if (id && inner_find_sa(calls->inner, id))
                return false;
        }
    }
    return has_sas(call);
}

/* heard_us is of the last message of its signalling, which counts, too. */
static bool is_silent(const struct calls *calls, const struct call *call, uint64_t now_us)
{
    uint64_t timeout_us = calls->options.media_timeout_us;

    if (timeout_us == 0 || !call->answered || !has_sas(call) || call_is_held(call))
        return false;
    return now_us - call->heard_us >= timeout_us && !hears_media(calls, call, now_us);
}

/* Why it is over; NULL: it is not. */
static const char *over_because(const struct calls *calls, struct call *call, uint64_t now_us)
{
    forget_offers(calls, call, now_us);
    if (!call->answered && call->stage_count == 0)
        return "its offer was not answered in time";
    if (calls->options.call_max_us && now_us - call->began_us >= calls->options.call_max_us)
        return "it is older than [signalling] call-max";
    if (is_stripped(calls, call))
        return "all of its SAs were deleted";
    return is_silent(calls, call, now_us) ? "no media came for [limits] media-timeout" : NULL;
}

/* A flood of INVITEs must not fill the disk. */
static void log_end(struct calls *calls, const struct call *call, const char *why)
{
    if (++calls->logged <= LOG_PER_SECOND)
        log_info("call %llu ended: %s%s", (unsigned long long)call->number, why,
                 calls->logged == LOG_PER_SECOND ? " (others follow unsaid)" : "");
}

void calls_tick(struct calls *calls)
{
    calls->logged = 0;
    if (calls->aging >= calls->max)
        calls->aging = 0;
}

bool calls_work(struct calls *calls, uint64_t now_us)
{
    unsigned looks = AGE_LOOKS, endings = AGE_ENDINGS;

    for (; calls->aging < calls->max && looks > 0 && endings > 0; looks--) {
        struct call *call = calls_next(calls, &calls->aging);
        const char *why = call ? over_because(calls, call, now_us) : NULL;

        if (call && !why)
            endings -= branches_follow(calls, call, now_us);
        if (!why)
            continue;
        log_end(calls, call, why);
        calls->counts.timeouts++;
        calls_end(calls, call, now_us);
        endings--;
    }
    return calls->aging < calls->max;
}
