#define LOG_MODULE "calls"
#include "inner-relay/calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

struct calls {
    struct inner *inner;
    struct call_options options;
    struct calls_counts counts;
};

struct calls *calls_new(struct inner *inner, const struct call_options *options)
{
    struct calls *calls = calloc(1, sizeof(*calls));

    if (!calls)
        return NULL;
    calls->inner = inner;
    calls->options = *options;
    return calls;
}

void calls_free(struct calls *calls)
{
    free(calls);
}

void calls_set_options(struct calls *calls, const struct call_options *options)
{
    calls->options = *options;
}

static int not_yet(struct call_error *error)
{
    snprintf(error->text, sizeof(error->text), "calls are not taken yet");
    return error->code = ERR_UNSUPPORTED;
}

int calls_offer(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                uint64_t now_us, struct call_reply *reply, struct call_error *error)
{
    (void)calls;
    (void)request;
    (void)wall_us;
    (void)now_us;
    (void)reply;
    return not_yet(error);
}

int calls_answer(struct calls *calls, const struct call_request *request, uint64_t wall_us,
                 uint64_t now_us, struct call_reply *reply, struct call_error *error)
{
    return calls_offer(calls, request, wall_us, now_us, reply, error);
}

int calls_delete(struct calls *calls, const struct call_request *request, uint64_t now_us,
                 struct call_error *error)
{
    (void)calls;
    (void)request;
    (void)now_us;
    return not_yet(error);
}

void calls_reply_free(struct call_reply *reply)
{
    free(reply->sdp);
    json_decref(reply->extra);
    *reply = (struct call_reply){0};
}

struct call *calls_find(const struct calls *calls, const char *call_id, const char *tag,
                        const char *other_tag)
{
    (void)calls;
    (void)call_id;
    (void)tag;
    (void)other_tag;
    return NULL;
}

size_t calls_count(const struct calls *calls)
{
    (void)calls;
    return 0;
}

size_t calls_max(const struct calls *calls)
{
    return calls->options.max_calls;
}

struct call *calls_next(const struct calls *calls, size_t *at)
{
    (void)calls;
    (void)at;
    return NULL;
}

void calls_end(struct calls *calls, struct call *call, uint64_t now_us)
{
    (void)calls;
    (void)call;
    (void)now_us;
}

void calls_tick(struct calls *calls)
{
    (void)calls;
}

bool calls_work(struct calls *calls, uint64_t now_us)
{
    (void)calls;
    (void)now_us;
    return false;
}

const struct calls_counts *calls_counts(const struct calls *calls)
{
    return &calls->counts;
}
