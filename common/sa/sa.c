#include "common/sa/sa.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/random.h"
#include "common/sa/rekey.h"
#include "common/srtp/srtp.h"

struct sa *sa_new(void)
{
    struct sa *sa = calloc(1, sizeof(*sa));

    if (!sa)
        return NULL;
    sa->side = SA_SIDE_EXTERNAL;
    sa->encap_in = sa->encap_out = SA_ENCAP_RTP;
    sa->source_policy = SOURCE_STRICT;
    return sa;
}

void sa_free(struct sa *sa)
{
    if (!sa)
        return;
    rekey_end(sa);
    srtp_session_free(sa->srtp);
    free(sa->texts);
    free(sa->stream);
    free(sa->way);
    free(sa->far);
    free(sa);
}

int sa_open(struct sa *sa, struct srtp_engine *engine, const struct srtp_key *key)
{
    struct srtp_session *session = NULL;
    int result = srtp_session_new(engine, &session, sa->suite, key);

    if (result < 0)
        return result;
    srtp_session_free(sa->srtp);
    sa->srtp = session;
    return 0;
}

/*
 * All texts of an SA stand in one block, each with its NUL, in the order of the
 * enum, which begins with the one that packets ask for. No block: all are empty.
 */
const char *sa_text(const struct sa *sa, enum sa_text which)
{
    const char *text = sa->texts ? sa->texts : "";

    for (unsigned i = 0; sa->texts && i < which; i++)
        text += strlen(text) + 1;
    return text;
}

static size_t texts_octets(const struct sa *sa)
{
    const char *last = sa_text(sa, SA_TEXT_COUNT - 1);

    return sa->texts ? (size_t)(last - sa->texts) + strlen(last) + 1 : 0;
}

/* In place, so that a text can always be made shorter, or empty. */
static void shorten(struct sa *sa, enum sa_text which, const char *value, size_t length)
{
    char *at = sa->texts + (sa_text(sa, which) - sa->texts);
    char *rest = at + strlen(at), *end = sa->texts + texts_octets(sa);

    memmove(at, value, length);
    memmove(at + length, rest, (size_t)(end - rest));
    if (texts_octets(sa) > SA_TEXT_COUNT)
        return;
    free(sa->texts);
    sa->texts = NULL;
}

int sa_set_text(struct sa *sa, enum sa_text which, const char *value)
{
    size_t old = strlen(sa_text(sa, which)), length = strlen(value);
    size_t octets = sa->texts ? texts_octets(sa) : SA_TEXT_COUNT;
    char *texts, *at;

    if (length <= old) {
        if (sa->texts)
            shorten(sa, which, value, length);
        return 0;
    }
    texts = at = malloc(octets - old + length);
    if (!texts)
        return ERR_NOMEM;
    for (enum sa_text i = 0; i < SA_TEXT_COUNT; i++)
        at = stpcpy(at, i == which ? value : sa_text(sa, i)) + 1;
    free(sa->texts);
    sa->texts = texts;
    return 0;
}

struct sa_stream *sa_stream(struct sa *sa, uint32_t ssrc)
{
    for (unsigned i = 0; i < sa->stream_count; i++) {
        if (sa->stream[i].ssrc == ssrc)
            return &sa->stream[i];
    }
    return NULL;
}

int sa_stream_add(struct sa *sa, uint32_t ssrc, enum ssrc_origin origin)
{
    struct sa_stream *grown;

    if (sa_stream(sa, ssrc))
        return ERR_EXISTS;
    if (sa->stream_count == SA_SSRC_MAX)
        return ERR_FULL;
    grown = realloc(sa->stream, (sa->stream_count + 1) * sizeof(*grown));
    if (!grown)
        return ERR_NOMEM;
    sa->stream = grown;
    sa->stream[sa->stream_count++] = (struct sa_stream){.ssrc = ssrc, .origin = origin};
    return 0;
}

const struct addr *sa_transport_addr(const struct sa_transport *transport, bool rtcp)
{
    const struct addr *addr = rtcp && !transport->mux ? &transport->rtcp : &transport->rtp;

    return addr->family ? addr : NULL;
}

const char *sa_side_name(enum sa_side side)
{
    return side == SA_SIDE_EXTERNAL ? "external" : "internal";
}

const char *sa_source_policy_name(enum source_policy policy)
{
    static const char *const names[] = {"", "strict", "hinted", "open"};

    return names[policy];
}

bool sa_source_policy_parse(const char *text, enum source_policy *out)
{
    for (enum source_policy policy = SOURCE_STRICT; policy <= SOURCE_OPEN; policy++) {
        if (strcmp(text, sa_source_policy_name(policy)) == 0) {
            *out = policy;
            return true;
        }
    }
    return false;
}

bool sa_learns_ssrcs(const struct sa *sa)
{
    for (unsigned i = 0; i < sa->stream_count; i++) {
        if (sa->stream[i].origin != SSRC_ORIGIN_LEARNED)
            return false;
    }
    return true;
}

bool sa_is_assigned(const struct sa *sa)
{
    return sa->side == SA_SIDE_INTERNAL && sa->stream_count > 0 &&
           sa->stream[0].origin == SSRC_ORIGIN_ASSIGNED;
}
