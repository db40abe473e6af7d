#include "inner-relay/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/random.h"

enum { CHECK_SUM_OCTETS = 17 }; /* "~" and 16 digits */

static bool is_printable(const char *text)
{
    for (; *text; text++) {
        if (*text < 0x20 || *text > 0x7e)
            return false;
    }
    return true;
}

void call_label(const char *call_id, char out[CALL_ID_SIZE])
{
    /* The same after a restart; it keeps no secret. */
    static const struct hash_key key = {.k0 = 0x6d656469612d7265, .k1 = 0x6c61792d63616c6c};
    size_t length = strlen(call_id), i = 0;

    if (length < CALL_ID_SIZE && is_printable(call_id)) {
        memcpy(out, call_id, length + 1);
        return;
    }
    for (; call_id[i] && i < CALL_ID_SIZE - 1 - CHECK_SUM_OCTETS; i++)
        out[i] = call_id[i] < 0x20 || call_id[i] > 0x7e ? '?' : call_id[i];
    snprintf(out + i, CALL_ID_SIZE - i, "~%016llx",
             (unsigned long long)hash_bytes(&key, call_id, length));
}

struct call *call_new(const char *call_id)
{
    struct call *call = calloc(1, sizeof(*call));

    if (call)
        call->call_id = strdup(call_id);
    if (call && call->call_id)
        return call;
    free(call);
    return NULL;
}

void call_free(struct call *call)
{
    if (!call)
        return;
    while (call->stage_count > 0)
        call_remove_stage(call, call->stage_count - 1);
    while (call->party_count > 0)
        call_remove_party(call, call->party_count - 1);
    free(call->call_id);
    free(call);
}

/* ------------------------------------------------------------ parties */

static bool has_tag(const struct call *call, const char *tag)
{
    if (call_find_party(call, tag) >= 0)
        return true;
    for (unsigned i = 0; i < call->stage_count && tag[0]; i++) {
        if (strcmp(call->stage[i]->to_tag, tag) == 0)
            return true;
    }
    return false;
}

bool call_has_tag(const struct call *call, const char *tag, const char *other_tag)
{
    if (call->restored || (!tag[0] && !other_tag[0]))
        return true;
    return has_tag(call, tag) || has_tag(call, other_tag);
}

int call_find_party(const struct call *call, const char *tag)
{
    for (unsigned i = 0; i < call->party_count && tag[0]; i++) {
        if (call->party[i]->tag && strcmp(call->party[i]->tag, tag) == 0)
            return (int)i;
    }
    return -1;
}

int call_add_party(struct call *call, const char *tag)
{
    struct call_party *party;

    if (call->party_count > CALL_PARTIES_MAX)
        return ERR_FULL;
    party = calloc(1, sizeof(*party));
    if (!party)
        return ERR_NOMEM;
    party->partner = -1;
    party->hub = -1;
    party->tag = strdup(tag);
    if (!party->tag) {
        free(party);
        return ERR_NOMEM;
    }
    call->party[call->party_count] = party;
    return (int)call->party_count++;
}

static void forget_party(int *number, int removed)
{
    if (*number == removed)
        *number = -1;
    else if (*number > removed)
        (*number)--;
}

static void forget_answer(struct call_stage *stage, int removed)
{
    for (unsigned i = stage->answer_count; i-- > 0;) {
        forget_party(&stage->answer[i].party, removed);
        if (stage->answer[i].party < 0)
            stage->answer[i] = stage->answer[--stage->answer_count];
    }
}

void call_remove_party(struct call *call, unsigned number)
{
    struct call_party *gone = call->party[number];

    for (unsigned i = call->stage_count; i-- > 0;) {
        if (call->stage[i]->offerer == number)
            call_remove_stage(call, i);
    }
    call->party_count--;
    memmove(&call->party[number], &call->party[number + 1],
            (call->party_count - number) * sizeof(struct call_party *));
    for (unsigned i = 0; i < call->party_count; i++) {
        forget_party(&call->party[i]->partner, (int)number);
        forget_party(&call->party[i]->hub, (int)number);
    }
    for (unsigned i = 0; i < call->stage_count; i++) {
        forget_answer(call->stage[i], (int)number);
        if (call->stage[i]->offerer > number)
            call->stage[i]->offerer--;
    }
    free(gone->tag);
    free(gone);
}

/* ------------------------------------------------------------ offers */

static void free_stage(struct call_stage *stage)
{
    if (!stage)
        return;
    if (stage->sdp)
        wipe(stage->sdp, stage->sdp_length);
    free(stage->sdp);
    free(stage->to_tag);
    free(stage->branch);
    free(stage->key_print);
    free(stage);
}

static struct call_stage *new_stage(const char *to_tag, const char *branch, const char *sdp,
                                    size_t sdp_length)
{
    struct call_stage *stage = calloc(1, sizeof(*stage));

    if (!stage)
        return NULL;
    stage->to_tag = strdup(to_tag);
    stage->branch = strdup(branch);
    stage->sdp = malloc(sdp_length ? sdp_length : 1);
    if (!stage->to_tag || !stage->branch || !stage->sdp) {
        free_stage(stage);
        return NULL;
    }
    memcpy(stage->sdp, sdp, sdp_length);
    stage->sdp_length = sdp_length;
    return stage;
}

bool call_set_keys(struct call_stage *stage, const uint64_t *print, unsigned count)
{
    stage->key_print = count > 0 ? malloc(count * sizeof(*print)) : NULL;
    if (!stage->key_print)
        return count == 0;
    memcpy(stage->key_print, print, count * sizeof(*print));
    stage->key_count = count;
    return true;
}

/* One that was answered, if there is any: those that were not are branches that ring. */
static unsigned oldest_stage(const struct call *call)
{
    for (unsigned i = 0; i < call->stage_count; i++) {
        if (call->stage[i]->answered)
            return i;
    }
    return 0;
}

size_t call_octets_above(size_t octets)
{
    return octets > CALL_OCTETS_FREE ? octets - CALL_OCTETS_FREE : 0;
}

static void count_octets(struct call *call, size_t octets)
{
    if (call->staged)
        *call->staged += call_octets_above(octets) - call_octets_above(call->octets);
    call->octets = octets;
}

bool call_forget_answered(struct call *call)
{
    unsigned oldest = oldest_stage(call);

    if (oldest >= call->stage_count || !call->stage[oldest]->answered)
        return false;
    call_remove_stage(call, oldest);
    return true;
}

struct call_stage *call_add_stage(struct call *call, const char *to_tag, const char *branch,
                                  const char *sdp, size_t sdp_length)
{
    struct call_stage *stage = new_stage(to_tag, branch, sdp, sdp_length);

    if (!stage)
        return NULL;
    if (call->stage_count == CALL_STAGES_MAX)
        call_remove_stage(call, oldest_stage(call));
    stage->serial = ++call->serial;
    count_octets(call, call->octets + sdp_length);
    call->stage[call->stage_count++] = stage;
    return stage;
}

void call_promise(struct call *call, struct call_stage *stage,
                  const uint32_t assigned[CALL_LINES_MAX])
{
    for (unsigned i = 0; i < CALL_LINES_MAX; i++) {
        stage->assigned[i] = assigned[i];
        if (assigned[i]) /* without memory it is held by its being random */
            (void)promises_add(call->promises, assigned[i]);
    }
}

static void break_promises(struct call *call, const struct call_stage *stage)
{
    for (unsigned i = 0; i < CALL_LINES_MAX && call->promises; i++)
        promises_drop(call->promises, stage->assigned[i]);
}

void call_remove_stage(struct call *call, unsigned number)
{
    break_promises(call, call->stage[number]);
    count_octets(call, call->octets - call->stage[number]->sdp_length);
    free_stage(call->stage[number]);
    call->stage_count--;
    memmove(&call->stage[number], &call->stage[number + 1],
            (call->stage_count - number) * sizeof(struct call_stage *));
}

const struct call_answer *call_answer_of(const struct call_stage *stage, int party)
{
    for (unsigned i = 0; i < stage->answer_count; i++) {
        if (stage->answer[i].party == party)
            return &stage->answer[i];
    }
    return NULL;
}

void call_set_answer(struct call_stage *stage, int party, uint64_t print)
{
    unsigned i = 0;

    while (i < stage->answer_count && stage->answer[i].party != party)
        i++;
    if (i == CALL_PARTIES_MAX)
        return;
    stage->answer[i] = (struct call_answer){.party = party, .print = print};
    stage->answer_count += i == stage->answer_count;
    stage->answered = true;
}

uint64_t *call_committed(struct call *call, unsigned one, unsigned other)
{
    bool one_is_branch = call->party[one]->hub == (int)other;

    return &call->party[one_is_branch ? one : other]->committed;
}

bool call_is_superseded(struct call *call, const struct call_stage *stage)
{
    for (unsigned i = 0; i < stage->answer_count; i++) {
        if (*call_committed(call, stage->offerer, (unsigned)stage->answer[i].party) > stage->serial)
            return true;
    }
    return false;
}

bool call_is_held(const struct call *call)
{
    for (unsigned i = 0; i < call->party_count; i++) {
        for (unsigned k = 0; k < call->party[i]->line_count; k++) {
            if (call->party[i]->line[k].held)
                return true;
        }
    }
    return false;
}
