/* What belongs to "call": requests, and replies for people. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/random.h"
#include "common/daemon/control.h"

#include "common/daemon/relayctl.h"
#include "common/daemon/relayctl_table.h"

/* ---------------------------------------------------------------- requests */

struct json_t *relayctl_call_about(const char *command, const struct relayctl_options *options,
                                   const char *call_id)
{
    const char *tag = options ? options->value[OPTION_TAG] : NULL;
    json_t *request =
        json_pack("{s:s, s:s, s:s*}", "command", command, "call_id", call_id, "tag", tag);

    if (!request)
        relayctl_complain("a Call-ID or tag that is not UTF-8 cannot be asked for");
    if (request && call_id[0] && (!tag || tag[0]))
        return request;
    if (request)
        relayctl_complain("%s is empty; \"relayctl call list\" shows those there are",
                          call_id[0] ? "the tag" : "the Call-ID");
    json_decref(request);
    return NULL;
}

/* ---------------------------------------------------------------- call list */

static const char *place_of(const json_t *party, const char *name)
{
    const char *side = json_string_value(json_object_get(party, name));

    if (!side)
        return "-";
    return strcmp(side, "internal") == 0 ? "inside" : "outside";
}

/* Adds to a text of one cell, with a comma; what does not fit is left out. */
static void append(char *text, const char *more)
{
    size_t used = strlen(text);

    snprintf(text + used, RELAYCTL_CELL_SIZE - used, "%s%s", used ? ", " : "", more);
}

/* "outside 0 s, inside never": how long ago each was heard that may be. */
static const char *heard_text(const json_t *parties, char *out)
{
    const json_t *party;
    size_t i;

    out[0] = '\0';
    json_array_foreach(parties, i, party)
    {
        const json_t *last = json_object_get(party, "last_packet");
        char age[32] = "never", one[64];

        if (relayctl_number_of(party, "sas") == 0)
            continue;
        if (json_is_number(last))
            relayctl_duration_text(relayctl_whole(last), age, sizeof(age));
        snprintf(one, sizeof(one), "%s %s", place_of(party, "side"), age);
        append(out, one);
    }
    return out;
}

static const char *tags_text(const json_t *parties, char *out)
{
    const json_t *party;
    size_t i;

    out[0] = '\0';
    json_array_foreach(parties, i, party)
    {
        const char *tag = json_string_value(json_object_get(party, "tag"));

        if (tag)
            append(out, tag);
    }
    return out;
}

static void add_call(struct relayctl_table *table, const json_t *call)
{
    const json_t *parties = json_object_get(call, "parties");
    char text[RELAYCTL_CELL_SIZE];

    relayctl_add_member(table, call, "call_id");
    relayctl_add_member(table, call, "state");
    relayctl_add_duration(table, call, "age");
    relayctl_add_member(table, call, "lines");
    relayctl_add_member(table, call, "sas");
    relayctl_add_member(table, call, "waiting");
    relayctl_add(table, heard_text(parties, text));
    relayctl_add(table, tags_text(parties, text));
}

void relayctl_show_call_list(const struct json_t *reply, FILE *to)
{
    static const struct relayctl_column columns[] = {
        {"CALL-ID", false}, {"STATE", false}, {"AGE", true},   {"LINES", true}, {"SAS", true},
        {"OFFERS", true},   {"HEARD", false}, {"TAGS", false}, {NULL, false},
    };
    const json_t *list = json_object_get(reply, "calls"), *call;
    struct relayctl_table table = relayctl_table_of(columns);
    size_t i;

    if (json_array_size(list) == 0) {
        fprintf(to, "no calls\n");
        return;
    }
    json_array_foreach(list, i, call) add_call(&table, call);
    relayctl_table_print(&table, to);
}

/* ---------------------------------------------------------------- call show */

static void show_field(FILE *to, const char *title, const char *text)
{
    fprintf(to, "%-18s %s\n", title, text);
}

static void show_member(FILE *to, const json_t *call, const char *name, const char *title)
{
    char text[2 * RELAYCTL_CELL_SIZE];

    show_field(to, title, relayctl_text_of(json_object_get(call, name), text, sizeof(text)));
}

static const char *age_text(const json_t *object, const char *name, char *out, size_t size)
{
    return relayctl_duration_text(relayctl_number_of(object, name), out, size);
}

static bool is_text(const json_t *object, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value && strcmp(value, text) == 0;
}

/* Why media does not go that way; how far it is, where nothing has come to an end. */
static void show_not(FILE *to, const json_t *call, const char *state, const char *why,
                     const char *title)
{
    if (!json_object_get(call, state) || is_text(call, state, "proven"))
        return;
    show_member(to, call, json_string_length(json_object_get(call, why)) > 0 ? why : state, title);
}

static void show_head(const json_t *call, FILE *to)
{
    char age[64], text[96];

    show_member(to, call, "call_id", "call");
    show_member(to, call, "number", "number");
    show_member(to, call, "state", "state");
    if (json_object_get(call, "site"))
        show_member(to, call, "site", "other site");
    if (json_object_get(call, "direction"))
        show_member(to, call, "direction", "direction");
    if (json_object_get(call, "path"))
        show_member(to, call, "path", "media path");
    show_not(to, call, "punch", "punch_why", "not punched");
    if (!is_text(call, "path", "punched"))
        show_not(to, call, "direct", "direct_why", "not direct");
    if (json_object_get(call, "mapped")) {
        show_member(to, call, "mapped", "seen from");
        show_member(to, call, "other_mapped", "other seen from");
    }
    show_member(to, call, "dmz", "dmz-relay");
    show_field(to, "age", age_text(call, "age", age, sizeof(age)));
    snprintf(text, sizeof(text), "%s ago", age_text(call, "last_signal", age, sizeof(age)));
    show_field(to, "last message", text);
    show_member(to, call, "sas", "SAs");
}

/* " NAME VALUE", where there is one. */
static void say_member(FILE *to, const json_t *object, const char *name, const char *before)
{
    const json_t *value = json_object_get(object, name);
    char text[2 * RELAYCTL_CELL_SIZE];

    if (value && !json_is_null(value))
        fprintf(to, "%s%s", before, relayctl_text_of(value, text, sizeof(text)));
}

/* "mux", or where RTCP is. */
static void add_rtcp(struct relayctl_table *table, const json_t *line, const char *name)
{
    if (json_is_true(json_object_get(line, "mux")))
        relayctl_add(table, "mux");
    else
        relayctl_add_member(table, line, name);
}

static void add_line(struct relayctl_table *table, const json_t *line)
{
    relayctl_add_member(table, line, "line");
    relayctl_add_member(table, line, "kind");
    relayctl_add_member(table, line, "way");
    relayctl_add_member(table, line, "sa");
    relayctl_add_member(table, line, "sa_back");
    relayctl_add_member(table, line, "signalled");
    add_rtcp(table, line, "signalled_rtcp");
    relayctl_add_member(table, line, "shown");
    relayctl_add_member(table, line, "shown_rtcp");
    relayctl_add_member(table, line, "held");
    relayctl_add_hex(table, line, "assigned_ssrc");
    relayctl_add_duration(table, line, "last_packet");
}

static void show_lines(const json_t *lines, FILE *to)
{
    static const struct relayctl_column columns[] = {
        {"LINE", true},      {"KIND", false}, {"WAY", false},      {"SA", true},    {"BACK", true},
        {"IS AT", false},    {"RTCP", false}, {"SENDS TO", false}, {"RTCP", false}, {"HOLD", false},
        {"ASSIGNED", false}, {"LAST", true},  {NULL, false},
    };
    struct relayctl_table table = relayctl_table_of(columns);
    const json_t *line;
    size_t i;

    if (json_array_size(lines) == 0)
        return;
    json_array_foreach(lines, i, line) add_line(&table, line);
    relayctl_table_print(&table, to);
    json_array_foreach(lines, i, line)
    {
        char number[RELAYCTL_CELL_SIZE], text[RELAYCTL_CELL_SIZE];
        const json_t *warning = json_object_get(line, "warning");

        if (json_is_string(warning))
            fprintf(to, "line %s: %s\n",
                    relayctl_text_of(json_object_get(line, "line"), number, sizeof(number)),
                    relayctl_text_of(warning, text, sizeof(text)));
    }
}

static void show_cut(const json_t *object, FILE *to)
{
    if (json_is_true(json_object_get(object, "cut")))
        fprintf(to, "its m= lines are left out: there are too many\n");
}

static void show_party(const json_t *party, FILE *to)
{
    char tag[2 * RELAYCTL_CELL_SIZE];
    bool parked = json_is_true(json_object_get(party, "parked"));

    fprintf(to, "\nparty %s, %s", relayctl_text_of(json_object_get(party, "tag"), tag, sizeof(tag)),
            place_of(party, "side"));
    say_member(to, party, "signalling", ", SIP from ");
    say_member(to, party, "partner", ", talks to ");
    say_member(to, party, "branch_of", ", a branch of ");
    fprintf(to, "%s\n", parked ? "; another branch has the call" : "");
    show_lines(json_object_get(party, "lines"), to);
    show_cut(party, to);
}

/* IS AT is what the offer says, SENDS TO what was shown to who is to answer. */
static void show_offer(const json_t *offer, FILE *to)
{
    static const struct relayctl_column columns[] = {
        {"LINE", true},   {"KIND", false},     {"WAY", false},
        {"IS AT", false}, {"RTCP", false},     {"SHOWN AS", false},
        {"HOLD", false},  {"ASSIGNED", false}, {NULL, false},
    };
    struct relayctl_table table = relayctl_table_of(columns);
    const json_t *lines = json_object_get(offer, "lines"), *line;
    char tag[2 * RELAYCTL_CELL_SIZE], age[64], left[64];
    size_t i;

    fprintf(to, "\noffer of %s, %s to %s, %s ago, without an answer; forgotten in %s",
            relayctl_text_of(json_object_get(offer, "tag"), tag, sizeof(tag)),
            place_of(offer, "side"), place_of(offer, "to_side"),
            age_text(offer, "age", age, sizeof(age)), age_text(offer, "left", left, sizeof(left)));
    say_member(to, offer, "to_tag", ", to tag ");
    say_member(to, offer, "via_branch", ", branch ");
    fputc('\n', to);
    show_cut(offer, to);
    if (json_array_size(lines) == 0)
        return;
    json_array_foreach(lines, i, line)
    {
        relayctl_add_member(&table, line, "line");
        relayctl_add_member(&table, line, "kind");
        relayctl_add_member(&table, line, "way");
        relayctl_add_member(&table, line, "signalled");
        add_rtcp(&table, line, "signalled_rtcp");
        relayctl_add_member(&table, line, "shown");
        relayctl_add_member(&table, line, "held");
        relayctl_add_hex(&table, line, "assigned_ssrc");
    }
    relayctl_table_print(&table, to);
}

void relayctl_show_calls(const struct json_t *reply, FILE *to)
{
    const json_t *calls = json_object_get(reply, "calls"), *call, *part;
    int64_t more = relayctl_number_of(reply, "more");
    size_t i, k;

    json_array_foreach(calls, i, call)
    {
        if (i > 0)
            fprintf(to, "\n\n");
        show_head(call, to);
        json_array_foreach(json_object_get(call, "parties"), k, part) show_party(part, to);
        json_array_foreach(json_object_get(call, "offers"), k, part) show_offer(part, to);
    }
    if (more > 0)
        fprintf(to, "\n%" PRId64 " more calls have this Call-ID: --tag shows one of them\n", more);
}

void relayctl_show_call_ended(const struct json_t *reply, FILE *to)
{
    char sas[RELAYCTL_CELL_SIZE];

    fprintf(to, "ended, SAs deleted: %s\n",
            relayctl_text_of(json_object_get(reply, "sas"), sas, sizeof(sas)));
}

/* ---------------------------------------------------------------- calls between sites */

enum { SDP_SIZE = CONTROL_LINE_MAX, ASK_AGAIN_MS = 200 };

/* What is wrong with it; or NULL. */
static const char *read_sdp(const char *path, char text[SDP_SIZE], size_t *length)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    int failed;

    if (!file)
        return strerror(errno);
    errno = 0;
    *length = fread(text, 1, SDP_SIZE, file);
    failed = !ferror(file) ? 0 : errno != 0 ? errno : EIO;
    if (file != stdin)
        fclose(file);
    if (failed)
        return strerror(failed);
    if (*length == 0)
        return "it is empty";
    return *length < SDP_SIZE ? NULL : "it is too long for a request";
}

/* A request with SDP, which has keys. */
static json_t *with_sdp(const char *command, struct relayctl_options *options, const char *name,
                        const char *value)
{
    char text[SDP_SIZE];
    const char *path = options->value[OPTION_SDP], *wrong;
    json_t *request = NULL;
    size_t length = 0;

    if (!path) {
        relayctl_complain("--sdp is missing");
        return NULL;
    }
    wrong = read_sdp(path, text, &length);
    if (wrong) {
        relayctl_complain("--sdp: %s: %s", path, wrong);
        options->bad_file = true;
    } else {
        request =
            json_pack("{s:s, s:s, s:s%}", "command", command, name, value, "sdp", text, length);
        if (!request)
            relayctl_complain("the SDP, or the %s, is not UTF-8", name);
    }
    wipe(text, sizeof(text));
    return request;
}

json_t *relayctl_call_place(struct relayctl_options *options, const char *site)
{
    return with_sdp("call-place", options, "site", site);
}

json_t *relayctl_call_answer(struct relayctl_options *options, const char *call_id)
{
    return with_sdp("call-answer", options, "call_id", call_id);
}

json_t *relayctl_call_refuse(const struct relayctl_options *options, const char *call_id)
{
    json_t *request = json_pack("{s:s, s:s, s:s*}", "command", "call-refuse", "call_id", call_id,
                                "reason", options->value[OPTION_REASON]);

    if (!request)
        relayctl_complain("a Call-ID or reason that is not UTF-8 cannot be sent");
    return request;
}

static const char *member(const json_t *reply, const char *name)
{
    const char *text = json_string_value(json_object_get(reply, name));

    return text ? text : "";
}

/* A call that rings here, or one of ours that is answered or over; or a refusal. */
static bool is_done(const json_t *reply)
{
    const char *state = member(reply, "state");

    if (!json_is_true(json_object_get(reply, "ok")))
        return true;
    if (!json_is_string(json_object_get(reply, "call_id")))
        return false;
    return strcmp(member(reply, "direction"), "from") == 0 || strcmp(state, "answered") == 0 ||
           strcmp(state, "ended") == 0;
}

static int ask_once(const char *path, const json_t *request, char **line)
{
    int fd = relayctl_connect(path), rc = RELAYCTL_NO_DAEMON;

    free(*line);
    *line = NULL;
    if (fd < 0)
        return rc;
    rc = relayctl_ask(fd, path, request, line);
    close(fd);
    return rc;
}

int relayctl_call_until(const char *path, const struct json_t *request, char **line)
{
    const struct timespec pause = {.tv_nsec = ASK_AGAIN_MS * 1000000L};
    json_t *reply = json_loads(*line, JSON_REJECT_DUPLICATES, NULL), *again = NULL;
    int rc = RELAYCTL_DONE;

    if (strcmp(member(request, "command"), "call-place") == 0)
        again = json_pack("{s:s, s:O?}", "command", "call-state", "call_id",
                          json_object_get(reply, "call_id"));
    while (rc == RELAYCTL_DONE && reply && !is_done(reply)) {
        nanosleep(&pause, NULL);
        json_decref(reply);
        rc = ask_once(path, again ? again : request, line);
        reply = rc == RELAYCTL_DONE ? json_loads(*line, JSON_REJECT_DUPLICATES, NULL) : NULL;
    }
    json_decref(reply);
    json_decref(again);
    return rc;
}

/* Placed, or, with --wait, answered or over. */
void relayctl_show_call_placed(const struct json_t *reply, FILE *to)
{
    if (strcmp(member(reply, "state"), "answered") == 0)
        fputs(member(reply, "sdp"), to);
    else if (strcmp(member(reply, "state"), "ended") != 0)
        fprintf(to, "%s\n", member(reply, "call_id"));
}

void relayctl_show_call_rings(const struct json_t *reply, FILE *to)
{
    fprintf(to, "call %s\nsite %s\n\n%s", member(reply, "call_id"), member(reply, "site"),
            member(reply, "sdp"));
}

void relayctl_show_call_done(const struct json_t *reply, FILE *to)
{
    fprintf(to, "%s\n", member(reply, "state"));
}
