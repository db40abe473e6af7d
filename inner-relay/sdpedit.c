#include "inner-relay/sdpedit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/writer.h"

/* What may be added to the session's lines, or to those of one m= section: less than this. */
enum { ADDED_MAX_OCTETS = 512 };

struct editing {
    const struct sdp *sdp;
    const struct sdp_edit *edit;
    bool any;                /* a line is touched */
    struct addr address;     /* of o= and the session's c=; family 0: they stay */
    bool session_connection; /* the session's c= shows it */
    bool has_origin;         /* the first o= is written */
    const char *end_of_line; /* of this text */
    struct writer out;
    /* The m= section that is being written; NULL: the session, or one that is not touched. */
    const struct sdp_media *media;
    const struct sdp_line_edit *line;
    bool owes_connection, has_rtcp;
};

static bool is_touched(const struct sdp *sdp, const struct sdp_edit *edit, unsigned i)
{
    return edit->line[i].touch && sdp->media[i].rtp && sdp->media[i].port != 0;
}

/* ---------------------------------------------------------------- writing */

static void __attribute__((format(printf, 2, 3)))
put(struct editing *editing, const char *format, ...)
{
    char text[ADDED_MAX_OCTETS / 4];
    va_list ap;
    int length;

    va_start(ap, format);
    length = vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    writer_copy(&editing->out, text, (size_t)length);
}

/* "IN IP4 192.0.2.1" */
static void put_address(struct editing *editing, const struct addr *addr)
{
    char ip[ADDR_TEXT_SIZE];

    put(editing, "IN IP%d %s", addr->family, addr_format_ip(addr, ip, sizeof(ip)));
}

/* Around a line that is added. The last line of a text may have no end; that stays so. */
static bool begin_line(struct editing *editing)
{
    const struct writer *out = &editing->out;
    bool open = writer_length(out) > 0 && out->at[-1] != '\n';

    if (open)
        put(editing, "%s", editing->end_of_line);
    return open;
}

static void end_line(struct editing *editing, bool open)
{
    if (!open)
        put(editing, "%s", editing->end_of_line);
}

/* ---------------------------------------------------------------- lines, without their end */

/* "o=NAME ID VERSION IN IP4 ADDRESS": what stands before IN stays. */
static bool edit_origin(struct editing *editing, const struct words *line)
{
    struct words rest = {line->at + 2, line->length - 2};
    size_t kept;

    for (unsigned i = 0; i < 3; i++)
        words_next(&rest);
    kept = line->length - rest.length;
    for (unsigned i = 0; i < 3; i++) {
        if (words_next(&rest).length == 0)
            return false;
    }
    writer_copy(&editing->out, line->at, kept);
    put(editing, " ");
    put_address(editing, &editing->address);
    return true;
}

/* An address that shows hold stays. */
static bool edit_connection(struct editing *editing, const struct addr *old, const struct addr *new)
{
    if (sdp_addr_is_any(old))
        return false;
    put(editing, "c=");
    put_address(editing, new);
    return true;
}

/* "m=audio 5004 RTP/SAVP 0": only the port changes. */
static bool edit_media(struct editing *editing, const struct words *line)
{
    struct words rest = {line->at + 2, line->length - 2}, port;

    words_next(&rest);
    port = words_next(&rest);
    writer_copy(&editing->out, line->at, (size_t)(port.at - line->at));
    put(editing, "%u", editing->line->rtp.port);
    writer_copy(&editing->out, rest.at, rest.length);
    return true;
}

static void put_rtcp(struct editing *editing, bool with_address)
{
    const struct sdp_line_edit *line = editing->line;
    const struct addr *addr = line->rtcp.family ? &line->rtcp : &line->rtp;

    put(editing, "a=rtcp:%u", addr->port);
    if (with_address || !addr_ip_equal(addr, &line->rtp)) {
        put(editing, " ");
        put_address(editing, addr);
    }
}

/* Where it named an address it does so again. */
static bool edit_rtcp(struct editing *editing, const struct words *line)
{
    struct words rest = *line;

    words_next(&rest);
    editing->has_rtcp = true;
    put_rtcp(editing, words_next(&rest).length > 0);
    return true;
}

static bool is_ice(const struct words *line)
{
    static const char *const names[] = {
        "candidate",  "end-of-candidates", "ice-lite",  "ice-mismatch",      "ice-options",
        "ice-pacing", "ice-pwd",           "ice-ufrag", "remote-candidates",
    };

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (sdp_is_attribute(line, names[i]))
            return true;
    }
    return false;
}

/* ---------------------------------------------------------------- lines that are added */

/* A touched line has no c= of its own, and the session's shows something else. */
static bool needs_connection(const struct editing *editing)
{
    const struct addr *session = &editing->sdp->connection;

    if (editing->media->own_connection || sdp_addr_is_any(session))
        return false;
    if (editing->session_connection)
        session = &editing->address;
    return !addr_ip_equal(session, &editing->line->rtp);
}

static void add_connection(struct editing *editing)
{
    bool open = begin_line(editing);

    put(editing, "c=");
    put_address(editing, &editing->line->rtp);
    end_line(editing, open);
    editing->owes_connection = false;
}

/* Is RTCP not where everybody looks for it? */
static bool needs_rtcp(const struct editing *editing)
{
    const struct sdp_line_edit *line = editing->line;

    return !editing->has_rtcp && line->rtcp.family &&
           (line->rtcp.port != line->rtp.port + 1 || !addr_ip_equal(&line->rtcp, &line->rtp));
}

static void add_rtcp(struct editing *editing)
{
    bool open = begin_line(editing);

    put_rtcp(editing, false);
    end_line(editing, open);
}

static void add_ssrc(struct editing *editing)
{
    bool open = begin_line(editing);

    put(editing, "a=" SDP_ASSIGNED_SSRC ":%u", editing->line->assigned_ssrc);
    end_line(editing, open);
}

/* ---------------------------------------------------------------- sections */

static void begin_section(struct editing *editing, size_t begin)
{
    for (unsigned i = 0; i < editing->sdp->media_count; i++) {
        if (editing->sdp->media[i].begin != begin || !is_touched(editing->sdp, editing->edit, i))
            continue;
        editing->media = &editing->sdp->media[i];
        editing->line = &editing->edit->line[i];
        editing->has_rtcp = false;
        editing->owes_connection = needs_connection(editing);
    }
}

static void end_section(struct editing *editing)
{
    if (editing->owes_connection)
        add_connection(editing);
    if (needs_rtcp(editing))
        add_rtcp(editing);
    if (editing->line->assigned_ssrc)
        add_ssrc(editing);
    editing->media = NULL;
}

/* Is the line written anew? */
static bool edit_session_line(struct editing *editing, const struct words *line)
{
    if (line->at[0] == 'o' && editing->edit->origin && editing->address.family &&
        !editing->has_origin) {
        editing->has_origin = true;
        return edit_origin(editing, line);
    }
    if (line->at[0] == 'c' && editing->session_connection)
        return edit_connection(editing, &editing->sdp->connection, &editing->address);
    return false;
}

/* c= stands behind m= and i= (RFC 4566 section 5). */
static bool edit_section_line(struct editing *editing, const struct words *line)
{
    if (line->at[0] == 'm')
        return edit_media(editing, line);
    if (editing->owes_connection && line->at[0] != 'i')
        add_connection(editing);
    if (line->at[0] == 'c')
        return edit_connection(editing, &editing->media->rtp_addr, &editing->line->rtp);
    return sdp_is_attribute(line, "rtcp") && edit_rtcp(editing, line);
}

/* An SSRC that is assigned is the word of one relay to its own client, and no one else's. */
static bool is_removed(const struct editing *editing, const struct words *line, bool session)
{
    bool touched = session ? editing->any : editing->media != NULL;

    return (touched && editing->edit->ice_remove && is_ice(line)) ||
           (editing->media && sdp_is_attribute(line, SDP_ASSIGNED_SSRC));
}

static void edit_line(struct editing *editing, const struct sdp_line *place)
{
    const char *text = editing->sdp->text;
    struct words line = {text + place->begin, place->end - place->begin};
    bool session = place->begin < editing->sdp->session_end, written = false;

    if (line.length > 0 && line.at[0] == 'm')
        begin_section(editing, place->begin);
    if (line.length > 0 && session)
        written = edit_session_line(editing, &line);
    else if (line.length > 0 && editing->media && !is_removed(editing, &line, session))
        written = edit_section_line(editing, &line);
    if (!is_removed(editing, &line, session))
        writer_copy(&editing->out, text + (written ? place->end : place->begin),
                    place->next - (written ? place->end : place->begin));
    if (editing->media && place->next == editing->media->end)
        end_section(editing);
}

/* ---------------------------------------------------------------- the whole */

/* Does a line that stays as it is take its address from the session? */
static bool session_is_needed(const struct sdp *sdp, const struct sdp_edit *edit)
{
    for (unsigned i = 0; i < sdp->media_count; i++) {
        if (sdp->media[i].port != 0 && !sdp->media[i].own_connection && !is_touched(sdp, edit, i))
            return true;
    }
    return false;
}

static const char *end_of_line(const struct sdp *sdp)
{
    struct sdp_line first = {0};
    size_t offset = 0;

    sdp_next_line(sdp->text, sdp->length, &offset, &first);
    return first.next == first.end + 1 ? "\n" : "\r\n";
}

static void prepare(struct editing *editing)
{
    const struct sdp *sdp = editing->sdp;
    const struct sdp_edit *edit = editing->edit;

    editing->address = edit->address;
    for (unsigned i = 0; i < sdp->media_count; i++) {
        if (!is_touched(sdp, edit, i))
            continue;
        if (!editing->address.family)
            editing->address = edit->line[i].rtp;
        editing->any = true;
    }
    editing->session_connection = edit->session_connection && editing->any && sdp->has_connection &&
                                  !session_is_needed(sdp, edit);
    editing->end_of_line = end_of_line(sdp);
}

/* Where the last line had no end and is gone, the one before it has none now. */
static void keep_end(struct editing *editing)
{
    const struct sdp *sdp = editing->sdp;
    struct writer *out = &editing->out;

    if (sdp->text[sdp->length - 1] == '\n')
        return;
    if (writer_length(out) > 0 && out->at[-1] == '\n')
        out->at--;
    if (writer_length(out) > 0 && out->at[-1] == '\r')
        out->at--;
}

char *sdp_edit(const struct sdp *sdp, const struct sdp_edit *edit, size_t *length)
{
    struct editing editing = {.sdp = sdp, .edit = edit};
    size_t size = sdp->length + (1 + sdp->media_count) * (size_t)ADDED_MAX_OCTETS, offset = 0;
    char *out = malloc(size + 1);
    struct sdp_line place;

    if (!out)
        return NULL;
    writer_init(&editing.out, out, size);
    prepare(&editing);
    while (sdp_next_line(sdp->text, sdp->length, &offset, &place))
        edit_line(&editing, &place);
    keep_end(&editing);
    *length = writer_length(&editing.out);
    out[*length] = '\0';
    return out;
}
