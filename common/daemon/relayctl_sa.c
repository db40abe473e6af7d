#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/addr.h"
#include "common/base/base64.h"
#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/base/random.h"
#include "common/daemon/relayctl.h"
#include "common/srtp/sdes.h"
#include "common/srtp/srtp.h"
#include "common/srtp/suite.h"

enum { KEY_TEXT_SIZE = 512, WRONG_SIZE = 1024 };

/* The request that is being made up. */
struct draft {
    struct relayctl_options *options;
    json_t *request;
};

/* A check of one argument: puts its value into the request, or complains and returns negative. */
struct rule {
    enum relayctl_option option;
    bool required;
    int (*check)(struct draft *draft, const struct rule *rule, const char *text);
    uint64_t min, max; /* of numbers; the greatest length of texts */
};

/* ---------------------------------------------------------------- helpers */

static const char *value_of(const struct draft *draft, enum relayctl_option option)
{
    return draft->options->value[option];
}

/* Complains about an option; returns what a check returns then. */
static int __attribute__((format(printf, 2, 3)))
wrong(enum relayctl_option option, const char *format, ...)
{
    char text[WRONG_SIZE];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    relayctl_complain("--%s: %s", relayctl_option_word(option), text);
    return ERR_INVALID;
}

/* The member is named as the option is, with "_" for "-". Consumes value. */
static int put(struct draft *draft, enum relayctl_option option, json_t *value)
{
    char name[32];

    snprintf(name, sizeof(name), "%s", relayctl_option_word(option));
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : *c;
    if (json_object_set_new(draft->request, name, value) == 0)
        return 0;
    return wrong(option, "not text in UTF-8, or out of memory");
}

/* The whole of text as a number, decimal or "0x" hex; false when it is none up to max. */
static bool read_number(const char *text, bool hex_too, uint64_t max, uint64_t *number)
{
    bool hex = hex_too && text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = hex ? text + 2 : text;
    size_t length = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");

    if (length == 0 || digits[length] != '\0')
        return false;
    errno = 0;
    *number = strtoull(digits, NULL, hex ? 16 : 10);
    return errno == 0 && *number <= max;
}

/* ---------------------------------------------------------------- single arguments */

static int check_side(struct draft *draft, const struct rule *rule, const char *text)
{
    if (strcmp(text, "external") != 0 && strcmp(text, "internal") != 0)
        return wrong(rule->option, "\"%s\" is no side; external or internal", text);
    return put(draft, rule->option, json_string(text));
}

static int check_suite(struct draft *draft, const struct rule *rule, const char *text)
{
    if (!suite_find(text))
        return wrong(rule->option, "there is no suite \"%s\"; one of %s", text, suite_names());
    return put(draft, rule->option, json_string(text));
}

static int check_policy(struct draft *draft, const struct rule *rule, const char *text)
{
    if (strcmp(text, "strict") != 0 && strcmp(text, "hinted") != 0 && strcmp(text, "open") != 0)
        return wrong(rule->option, "there is no policy \"%s\"; strict, hinted or open", text);
    return put(draft, rule->option, json_string(text));
}

/* The port of what a SIP message came from is of no use, and does no harm. */
static int check_hint(struct draft *draft, const struct rule *rule, const char *text)
{
    char ip[ADDR_TEXT_SIZE];
    struct addr addr;

    if (addr_parse_ip(text, &addr) < 0 && addr_parse(text, &addr) < 0)
        return wrong(rule->option, "\"%s\" is no IP address; 192.0.2.1 or 2001:db8::1", text);
    return put(draft, rule->option, json_string(addr_format_ip(&addr, ip, sizeof(ip))));
}

static int check_number(struct draft *draft, const struct rule *rule, const char *text)
{
    uint64_t number;

    if (!read_number(text, false, rule->max, &number) || number < rule->min)
        return wrong(rule->option, "\"%s\" is not a number from %llu to %llu", text,
                     (unsigned long long)rule->min, (unsigned long long)rule->max);
    return put(draft, rule->option, json_integer((json_int_t)number));
}

static int check_text(struct draft *draft, const struct rule *rule, const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length > rule->max)
        return wrong(rule->option, "%zu octets; 1 to %llu are right", length,
                     (unsigned long long)rule->max);
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return wrong(rule->option, "a control character is not allowed");
    }
    return put(draft, rule->option, json_string(text));
}

static bool array_has(const json_t *array, uint64_t number)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        if ((uint64_t)json_integer_value(json_array_get(array, i)) == number)
            return true;
    }
    return false;
}

static int add_ssrc(json_t *array, const struct rule *rule, const char *text)
{
    uint64_t ssrc;

    if (!read_number(text, true, UINT32_MAX, &ssrc))
        return wrong(rule->option, "\"%s\" is no SSRC; a number up to 4294967295 or 0xffffffff",
                     text);
    if (array_has(array, ssrc))
        return wrong(rule->option, "%s stands twice", text);
    if (json_array_size(array) == SA_SSRC_MAX)
        return wrong(rule->option, "more than %d SSRCs", SA_SSRC_MAX);
    return json_array_append_new(array, json_integer((json_int_t)ssrc)) < 0 ? ERR_NOMEM : 0;
}

static int check_ssrc(struct draft *draft, const struct rule *rule, const char *text)
{
    json_t *array = json_array();
    char *copy = strdup(text), *rest = copy, *word;
    int rc = array && copy ? 0 : ERR_NOMEM;

    while (rc == 0 && (word = strsep(&rest, ",")))
        rc = add_ssrc(array, rule, word);
    free(copy);
    if (rc == 0)
        return put(draft, rule->option, array);
    json_decref(array);
    return rc;
}

/* As text: leading zeros count. */
static int check_mki(struct draft *draft, const struct rule *rule, const char *text)
{
    size_t digits = strspn(text, "0123456789abcdefABCDEF");

    if (text[digits] != '\0' || digits == 0 || digits % 2 || digits > 2 * rule->max)
        return wrong(rule->option, "\"%s\" is no MKI; 1 to %llu octets, two hex digits for each",
                     text, (unsigned long long)rule->max);
    return put(draft, rule->option, json_string(text));
}

static int check_flag(struct draft *draft, const struct rule *rule, const char *text)
{
    (void)text;
    return put(draft, rule->option, json_true());
}

/* Of a sender that has no key. */
static const struct rule keyless_rules[] = {
    {OPTION_SUITE, false, check_suite, 0, 0},
};

static const struct rule key_rules[] = {
    {OPTION_SUITE, true, check_suite, 0, 0},
    {OPTION_MKI, false, check_mki, 1, SRTP_MKI_MAX_OCTETS},
    {OPTION_LIFETIME, false, check_number, 1, SRTP_LIFETIME_MAX},
};

static const struct rule sa_rules[] = {
    {OPTION_SIDE, true, check_side, 0, 0},
    {OPTION_TO_SIDE, false, check_side, 0, 0},
    {OPTION_SOURCE_POLICY, false, check_policy, 0, 0},
    {OPTION_HINT, false, check_hint, 0, 0},
    {OPTION_SSRC, false, check_ssrc, 0, 0},
    {OPTION_ASSIGN_SSRC, false, check_flag, 0, 0},
    {OPTION_RATE, false, check_number, 8, 1000000},
    {OPTION_CALL_ID, false, check_text, 1, CALL_ID_SIZE - 1},
    {OPTION_MEDIA, false, check_number, 0, UINT8_MAX},
    {OPTION_LISTENER, false, check_text, 1, NAME_SIZE - 1},
    {OPTION_TO_LISTENER, false, check_text, 1, NAME_SIZE - 1},
    {OPTION_DMZ, false, check_text, 1, NAME_SIZE - 1},
    {OPTION_PEER, false, check_text, 1, NAME_SIZE - 1},
    {OPTION_RTP_PRIME, false, check_flag, 0, 0},
    {OPTION_TO_RTP_PRIME, false, check_flag, 0, 0},
    {OPTION_REVERSE, false, check_number, 1, INT64_MAX},
    {OPTION_MEDIA_TIMEOUT, false, check_number, 0, UINT32_MAX},
};

static int check_rules(struct draft *draft, const struct rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct rule *rule = &rules[i];
        const char *text = value_of(draft, rule->option);
        int rc = 0;

        if (text)
            rc = rule->check(draft, rule, text);
        else if (rule->required)
            rc = wrong(rule->option, "is missing");
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---------------------------------------------------------------- addresses */

/* The options that name one hop's addresses. */
struct hop {
    enum relayctl_option rtp, rtcp, mux;
    bool from; /* the sender's */
};

static bool is_outside(const struct draft *draft, enum relayctl_option side, bool otherwise)
{
    const char *text = value_of(draft, side);

    return text ? strcmp(text, "external") == 0 : otherwise;
}

/*
 * --peer stands for the address that is outside: where both are, for that of the receiver once
 * something is said of the sender's.
 */
static bool is_peers(const struct draft *draft, const struct hop *hop)
{
    bool from = is_outside(draft, OPTION_SIDE, false);
    bool known = value_of(draft, OPTION_SOURCE) || value_of(draft, OPTION_HINT);

    if (from && is_outside(draft, OPTION_TO_SIDE, false))
        from = !known;
    return value_of(draft, OPTION_PEER) && hop->from == from;
}

static int check_peers_hop(struct draft *draft, const struct hop *hop)
{
    if (value_of(draft, hop->rtp) || value_of(draft, hop->rtcp))
        return wrong(value_of(draft, hop->rtp) ? hop->rtp : hop->rtcp,
                     "does not go with --peer, which stands for it");
    return value_of(draft, hop->mux) ? put(draft, hop->mux, json_true()) : 0;
}

static int read_address(const struct draft *draft, enum relayctl_option option, struct addr *addr)
{
    const char *text = value_of(draft, option);

    if (addr_parse(text, addr) == 0)
        return 0;
    return wrong(option,
                 "\"%s\" is no address; 192.0.2.1:5004 or [2001:db8::1]:5004, port 1 to 65535",
                 text);
}

static int put_address(struct draft *draft, enum relayctl_option option, const struct addr *addr)
{
    char text[ADDR_TEXT_SIZE];

    return put(draft, option, json_string(addr_format(addr, text, sizeof(text))));
}

/* Where packets show the address, it may be left out. */
static bool is_learned(const struct draft *draft, const struct hop *hop)
{
    const char *policy = value_of(draft, OPTION_SOURCE_POLICY);

    if (!hop->from)
        return value_of(draft, OPTION_REVERSE);
    return value_of(draft, OPTION_HINT) || (policy && strcmp(policy, "open") == 0);
}

static int check_no_address(struct draft *draft, const struct hop *hop)
{
    if (!is_learned(draft, hop))
        return wrong(hop->rtp, hop->from ? "is missing; or give --hint, or --source-policy open"
                                         : "is missing; or give --reverse");
    if (value_of(draft, hop->rtcp))
        return wrong(hop->rtcp, "does not go without --%s", relayctl_option_word(hop->rtp));
    return value_of(draft, hop->mux) ? put(draft, hop->mux, json_true()) : 0;
}

/* With mux there is one address; otherwise RTCP has the next port, or the one that was given. */
static int check_hop(struct draft *draft, const struct hop *hop)
{
    struct addr rtp, rtcp;

    if (is_peers(draft, hop))
        return check_peers_hop(draft, hop);
    if (!value_of(draft, hop->rtp))
        return check_no_address(draft, hop);
    if (read_address(draft, hop->rtp, &rtp) < 0 || put_address(draft, hop->rtp, &rtp) < 0)
        return ERR_INVALID;
    if (value_of(draft, hop->mux)) {
        if (value_of(draft, hop->rtcp))
            return wrong(hop->rtcp, "does not go with --%s, which means the RTP port",
                         relayctl_option_word(hop->mux));
        return put(draft, hop->mux, json_true());
    }
    rtcp = rtp;
    rtcp.port++;
    if (value_of(draft, hop->rtcp)) {
        if (read_address(draft, hop->rtcp, &rtcp) < 0)
            return ERR_INVALID;
    } else if (rtcp.port == 0) {
        return wrong(hop->rtcp, "is missing: there is no port behind 65535");
    }
    return put_address(draft, hop->rtcp, &rtcp);
}

/* ---------------------------------------------------------------- the key */

static int open_key_file(const char *path)
{
    struct stat st;
    int fd;

    if (strcmp(path, "-") == 0)
        return STDIN_FILENO;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return wrong(OPTION_KEY_FILE, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & (S_IRGRP | S_IROTH)))
        relayctl_complain("warning: others can read %s (mode %04o); chmod 600 is right", path,
                          (unsigned)st.st_mode & 07777);
    return fd;
}

/* Everything up to the end; of a terminal, one line. */
static int read_key_octets(int fd, const char *path, char *text, size_t size)
{
    size_t length = 0;
    ssize_t n;

    do {
        n = read(fd, text + length, size - 1 - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wrong(OPTION_KEY_FILE, "%s: %s", path, strerror(errno));
        length += (size_t)n;
        if (length == size - 1)
            return wrong(OPTION_KEY_FILE, "%zu octets or more are too many for one key", size - 1);
    } while (n > 0 && !(isatty(fd) && text[length - 1] == '\n'));
    text[length] = '\0';
    return strlen(text) == length ? 0 : wrong(OPTION_KEY_FILE, "is not text");
}

static int read_key_file(const char *path, char *text, size_t size)
{
    int fd = open_key_file(path), rc;

    if (fd < 0)
        return fd;
    rc = read_key_octets(fd, path, text, size);
    if (fd != STDIN_FILENO)
        close(fd);
    return rc;
}

static int copy_key_argument(char *argument, char *text, size_t size)
{
    size_t length = strlen(argument);

    if (length >= size)
        return wrong(OPTION_KEY, "%zu octets are too many for one key", length);
    memcpy(text, argument, length + 1);
    wipe(argument, length); /* /proc shows the command line to everybody */
    return 0;
}

static int put_lifetime(struct draft *draft, uint64_t packets)
{
    if (packets == 0)
        return 0;
    if (json_object_get(draft->request, "lifetime"))
        return wrong(OPTION_LIFETIME, "is given behind the key too, or twice there");
    return put(draft, OPTION_LIFETIME, json_integer((json_int_t)packets));
}

static int put_mki(struct draft *draft, const struct sdes_inline *parts)
{
    char hex[2 * SRTP_MKI_MAX_OCTETS + 1];

    if (parts->mki_length == 0)
        return 0;
    if (json_object_get(draft->request, "mki"))
        return wrong(OPTION_MKI, "is given behind the key too, or twice there");
    for (size_t i = 0; i < parts->mki_length; i++)
        snprintf(hex + 2 * i, 3, "%02x", parts->mki[i]);
    return put(draft, OPTION_MKI, json_string(hex));
}

static int wrong_inline(enum relayctl_option option, enum sdes_wrong what)
{
    switch (what) {
    case SDES_RIGHT:
        return 0;
    case SDES_WRONG_LIFETIME:
        return wrong(option, "what stands behind the key is no lifetime such as 2^31, up to 2^48, "
                             "and no MKI such as 1:4");
    case SDES_WRONG_MKI:
        return wrong(option,
                     "what stands behind the key is no MKI such as 1:4, a number and its length "
                     "of 1 to %d octets",
                     SRTP_MKI_MAX_OCTETS);
    case SDES_TWO_LIFETIMES:
        return wrong(OPTION_LIFETIME, "is given behind the key too, or twice there");
    case SDES_TWO_MKIS:
        return wrong(OPTION_MKI, "is given behind the key too, or twice there");
    }
    return ERR_INVALID;
}

/*
 * Cuts text down to the base64 of the key, and returns where that begins; NULL: complained.
 * "inline:KEY|2^31|1:4", as in a=crypto (RFC 4568 section 6.1), has lifetime and MKI with it.
 */
static char *strip_key(struct draft *draft, enum relayctl_option option, char *text)
{
    struct sdes_inline parts;
    char *key;

    text[strcspn(text, "\r\n")] = '\0';
    key = strncmp(text, "inline:", 7) == 0 ? text + 7 : text;
    if (wrong_inline(option, sdes_read_inline(key, strlen(key), &parts)) < 0 ||
        put_lifetime(draft, parts.lifetime) < 0 || put_mki(draft, &parts) < 0)
        return NULL;
    key[parts.key_length] = '\0';
    return key;
}

static int check_key_material(enum relayctl_option option, const char *base64,
                              const struct suite *suite)
{
    uint8_t octets[4 * SUITE_KEY_MAX_OCTETS];
    size_t right = suite_material_octets(suite);
    int length = base64_decode(base64, octets, sizeof(octets));

    wipe(octets, sizeof(octets));
    if (length == ERR_INVALID)
        return wrong(option, "is not base64");
    if (length < 0 || (size_t)length != right)
        return wrong(option, "has %d octets%s; %s takes %zu (key %zu, salt %zu), in base64",
                     length < 0 ? (int)sizeof(octets) : length, length < 0 ? " or more" : "",
                     suite->name, right, suite->key_octets, suite->salt_octets);
    return 0;
}

/* A second line is a mistake, not a second key. */
static bool one_line(const char *text)
{
    size_t end = strcspn(text, "\r\n");

    return text[end + strspn(text + end, "\r\n")] == '\0';
}

static int put_key(struct draft *draft, enum relayctl_option option, char *text)
{
    const struct suite *suite = suite_find(value_of(draft, OPTION_SUITE));
    const char *base64;

    if (!one_line(text))
        return wrong(option, "has more than one line");
    base64 = strip_key(draft, option, text);
    if (!base64 || check_key_material(option, base64, suite) < 0)
        return ERR_INVALID;
    return put(draft, OPTION_KEY, json_string(base64));
}

static int check_key(struct draft *draft)
{
    char *argument = draft->options->value[OPTION_KEY], text[KEY_TEXT_SIZE];
    const char *path = value_of(draft, OPTION_KEY_FILE);
    int rc;

    if (argument && path)
        return wrong(OPTION_KEY_FILE, "does not go with --key; give one of them");
    if (!argument && !path)
        return wrong(OPTION_KEY, "is missing; or give --key-file");
    rc = path ? read_key_file(path, text, sizeof(text))
              : copy_key_argument(argument, text, sizeof(text));
    draft->options->bad_file = path && rc < 0;
    if (rc == 0)
        rc = put_key(draft, path ? OPTION_KEY_FILE : OPTION_KEY, text);
    wipe(text, sizeof(text));
    return rc;
}

/* ---------------------------------------------------------------- requests */

#define CHECK_RULES(draft, rules) check_rules(draft, rules, sizeof(rules) / sizeof((rules)[0]))

static int check_crypto(struct draft *draft)
{
    return CHECK_RULES(draft, key_rules) < 0 || check_key(draft) < 0 ? ERR_INVALID : 0;
}

/* With an SSRC that it is given the sender may also be without a key. */
static int check_sender(struct draft *draft)
{
    static const enum relayctl_option of_a_key[] = {OPTION_KEY, OPTION_KEY_FILE, OPTION_MKI,
                                                    OPTION_LIFETIME};
    bool assigned = value_of(draft, OPTION_ASSIGN_SSRC), any = !assigned;

    if (assigned && value_of(draft, OPTION_SSRC))
        return wrong(OPTION_ASSIGN_SSRC, "does not go with --ssrc; give one of them");
    for (size_t i = 0; i < sizeof(of_a_key) / sizeof(of_a_key[0]); i++)
        any = any || value_of(draft, of_a_key[i]);
    return any ? check_crypto(draft) : CHECK_RULES(draft, keyless_rules);
}

struct json_t *relayctl_sa_with_id(const char *command, const char *id)
{
    uint64_t number;

    if (!read_number(id, false, INT64_MAX, &number)) {
        relayctl_complain("\"%s\" is no ID; \"relayctl sa list\" shows them", id);
        return NULL;
    }
    return json_pack("{s:s, s:I}", "command", command, "id", (json_int_t)number);
}

struct json_t *relayctl_explain(const char *call_or_id)
{
    size_t length = strlen(call_or_id);

    if (length > 0 && strspn(call_or_id, "0123456789") == length)
        return relayctl_sa_with_id("explain", call_or_id);
    return relayctl_call_about("explain", NULL, call_or_id);
}

/* For display SAs keep the beginning of it, and '?' for what is not printable. */
struct json_t *relayctl_explain_sas(const struct json_t *explain)
{
    const char *call_id = json_string_value(json_object_get(explain, "call_id"));
    char text[CALL_ID_SIZE];

    snprintf(text, sizeof(text), "%s", call_id ? call_id : "");
    for (char *c = text; *c; c++)
        *c = *c < 0x20 || *c > 0x7e ? '?' : *c;
    return json_pack("{s:s, s:s}", "command", "sa-list", "call_id", text);
}

struct json_t *relayctl_sa_add(struct relayctl_options *options)
{
    static const struct hop from = {OPTION_SOURCE, OPTION_SOURCE_RTCP, OPTION_MUX, true};
    static const struct hop to = {OPTION_TO, OPTION_TO_RTCP, OPTION_TO_MUX, false};
    struct draft draft = {options, json_pack("{s:s}", "command", "sa-add")};

    if (!draft.request)
        relayctl_complain("out of memory");
    else if (CHECK_RULES(&draft, sa_rules) == 0 && check_hop(&draft, &from) == 0 &&
             check_hop(&draft, &to) == 0 && check_sender(&draft) == 0)
        return draft.request;
    json_decref(draft.request);
    return NULL;
}

struct json_t *relayctl_sa_rekey(struct relayctl_options *options, const char *id)
{
    struct draft draft = {options, relayctl_sa_with_id("sa-rekey", id)};

    if (draft.request && check_crypto(&draft) == 0)
        return draft.request;
    json_decref(draft.request);
    return NULL;
}
