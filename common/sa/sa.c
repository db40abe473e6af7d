#include "common/sa/sa.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/random.h"
#include "common/srtp/srtp.h"

struct sa *sa_new(void)
{
    struct sa *sa = calloc(1, sizeof(*sa));

    if (!sa)
        return NULL;
    sa->side = SA_SIDE_EXTERNAL;
    sa->encap_in = sa->encap_out = SA_ENCAP_RTP;
    sa->by_id.sa = sa->by_label.sa = sa->by_source_rtp.sa = sa->by_source_rtcp.sa = sa;
    return sa;
}

void sa_free(struct sa *sa)
{
    if (!sa)
        return;
    srtp_session_free(sa->srtp);
    wipe(sa, sizeof(*sa));
    free(sa);
}

int sa_open(struct sa *sa)
{
    struct srtp_session *session = NULL;
    int result =
        srtp_session_new(&session, sa->suite, sa->material, suite_material_octets(sa->suite));

    if (result < 0)
        return result;
    srtp_session_free(sa->srtp);
    sa->srtp = session;
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
    if (sa_stream(sa, ssrc))
        return ERR_EXISTS;
    if (sa->stream_count == SA_SSRC_MAX)
        return ERR_FULL;
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
