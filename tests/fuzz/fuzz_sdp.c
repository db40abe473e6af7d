/*
 * An offer or an answer, and what is changed in it: the first octet says what. What is read lies
 * inside; a text in which nothing is touched comes out as it went in; all other lines stay; and the
 * output reads, and shows what it was told to.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "inner-relay/sdpedit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static bool lies_inside(const struct sdp *sdp, const struct words *words)
{
    return words->at >= sdp->text && words->at + words->length <= sdp->text + sdp->length;
}

static void check_media(const struct sdp *sdp, const struct sdp_media *media)
{
    expect(lies_inside(sdp, &media->kind) && lies_inside(sdp, &media->proto));
    expect(media->begin < media->end && media->end <= sdp->length);
    expect(media->crypto_count <= SDP_CRYPTO_MAX && media->ssrc_count <= SDP_SSRC_MAX);
    for (unsigned i = 0; i < media->crypto_count; i++) {
        const struct sdes *line = &media->crypto[i];

        expect(line->unusable ? line->key.kind == SRTP_KEY_NONE
                              : line->key.length == suite_material_octets(line->suite));
    }
}

static struct addr ours(bool six, uint16_t port)
{
    static const uint8_t ip[16] = {0x20, 0x01, 0x0d, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

    return six ? addr_from_ip6(ip, port) : addr_from_ip4(ip + 12, port);
}

static bool fill(struct sdp_edit *edit, const struct sdp *sdp, uint8_t how)
{
    bool any = false;

    memset(edit, 0, sizeof(*edit));
    edit->origin = how & 1;
    edit->session_connection = how & 2;
    edit->ice_remove = how & 4;
    for (unsigned i = 0; i < sdp->media_count; i++) {
        struct sdp_line_edit *line = &edit->line[i];

        line->touch = how & (i % 2 ? 8 : 16);
        line->rtp = ours(how & 32, 5004);
        line->rtcp = ours(how & 32, how & 64 ? 6005 : 5005);
        line->assigned_ssrc = how & 128 ? 7 : 0;
        any = any || (line->touch && sdp->media[i].rtp && sdp->media[i].port);
    }
    return any;
}

static void check_line(const struct sdp_media *before, const struct sdp_media *after,
                       const struct sdp_line_edit *line)
{
    bool touched = line->touch && before->rtp && before->port != 0;

    expect(before->crypto_count == after->crypto_count && before->rtp == after->rtp);
    expect(before->mux == after->mux && before->direction == after->direction);
    expect(after->port == (touched ? line->rtp.port : before->port));
    if (!before->rtp || before->port == 0)
        return;
    if (!touched)
        expect(addr_equal(&before->rtp_addr, &after->rtp_addr) &&
               addr_equal(&before->rtcp_addr, &after->rtcp_addr));
    else if (!sdp_addr_is_any(&before->rtp_addr))
        expect(addr_equal(&after->rtp_addr, &line->rtp) &&
               addr_equal(&after->rtcp_addr, &line->rtcp));
}

/* Lines of these kinds may change, come or go; all others have to be there, in their order. */
static bool may_change(const char *text, const struct sdp_line *line)
{
    struct words words = {text + line->begin, line->end - line->begin};

    return words.length == 0 || strchr("moc", words.at[0]) || sdp_is_attribute(&words, "rtcp") ||
           sdp_is_attribute(&words, SDP_ASSIGNED_SSRC) ||
           (words.length > 5 && (memcmp(words.at, "a=ice", 5) == 0)) ||
           sdp_is_attribute(&words, "candidate") || sdp_is_attribute(&words, "end-of-candidates") ||
           sdp_is_attribute(&words, "remote-candidates");
}

static bool next_kept(const char *text, size_t length, size_t *at, struct sdp_line *line)
{
    while (sdp_next_line(text, length, at, line)) {
        if (!may_change(text, line))
            return true;
    }
    return false;
}

static void check_other_lines(const struct sdp *sdp, const char *out, size_t length)
{
    struct sdp_line before, after;
    size_t at = 0, out_at = 0;

    while (next_kept(sdp->text, sdp->length, &at, &before)) {
        expect(next_kept(out, length, &out_at, &after));
        expect(before.end - before.begin == after.end - after.begin);
        expect(memcmp(sdp->text + before.begin, out + after.begin, before.end - before.begin) == 0);
    }
    expect(!next_kept(out, length, &out_at, &after));
}

static void check_edit(const struct sdp *sdp, uint8_t how)
{
    static struct sdp again;
    char error[SDP_ERROR_SIZE], *out;
    struct sdp_edit edit;
    bool any = fill(&edit, sdp, how);
    size_t length;

    out = sdp_edit(sdp, &edit, &length);
    expect(out != NULL);
    if (!any)
        expect(length == sdp->length && memcmp(out, sdp->text, length) == 0);
    check_other_lines(sdp, out, length);
    if (length <= SDP_MAX_OCTETS) {
        expect(sdp_read(&again, out, length, error) == 0);
        expect(again.media_count == sdp->media_count);
        for (unsigned i = 0; i < sdp->media_count; i++)
            check_line(&sdp->media[i], &again.media[i], &edit.line[i]);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sdp sdp;
    char error[SDP_ERROR_SIZE];

    if (size == 0)
        return 0;
    if (sdp_read(&sdp, (const char *)data + 1, size - 1, error) < 0)
        return 0;
    expect(sdp.media_count <= SDP_MEDIA_MAX && sdp.session_end <= sdp.length);
    for (unsigned i = 0; i < sdp.media_count; i++)
        check_media(&sdp, &sdp.media[i]);
    check_edit(&sdp, data[0]);
    return 0;
}
