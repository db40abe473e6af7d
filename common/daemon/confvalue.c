#include "common/daemon/confvalue.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/err.h"

struct unit {
    const char *name;
    uint64_t ms;
};

/* Greatest first. */
static const struct unit units[] = {{"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}};
enum { UNITS = sizeof(units) / sizeof(units[0]), DIGITS_MAX = 9, DSCP_MAX = 63, DSCP_EF = 46 };

/* What a type can do. parse finds the field zeroed, and may leave anything there when it fails. */
struct type {
    int (*parse)(const struct conf_key *key, const char *text, void *field);
    bool (*format)(const struct conf_key *key, const void *field, char *out, size_t size);
    void (*describe)(const struct conf_key *key, char *out, size_t size);
    size_t size; /* of the field; 0: what the key says */
};

static bool fits(int written, size_t size)
{
    return written >= 0 && (size_t)written < size;
}

/* Digits at the start of text; *rest is behind them. */
static int parse_digits(const char *text, uint64_t *value, const char **rest)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0)
        return ERR_INVALID;
    if (digits > DIGITS_MAX)
        return ERR_RANGE;
    *value = strtoull(text, NULL, 10);
    *rest = text + digits;
    return 0;
}

/* ---------------------------------------------------------------- yes and no, numbers */

static int parse_bool(const struct conf_key *key, const char *text, void *field)
{
    (void)key;
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return ERR_INVALID;
    *(bool *)field = text[0] == 'y';
    return 0;
}

static bool format_bool(const struct conf_key *key, const void *field, char *out, size_t size)
{
    (void)key;
    return fits(snprintf(out, size, "%s", *(const bool *)field ? "yes" : "no"), size);
}

static void describe_bool(const struct conf_key *key, char *out, size_t size)
{
    (void)key;
    snprintf(out, size, "yes or no");
}

static int parse_bounded(const struct conf_key *key, const char *text, uint64_t *value)
{
    const char *rest;
    int code = parse_digits(text, value, &rest);

    if (code < 0 || *rest)
        return code < 0 ? code : ERR_INVALID;
    return *value < key->min || *value > key->max ? ERR_RANGE : 0;
}

static int parse_uint(const struct conf_key *key, const char *text, void *field)
{
    uint64_t value;
    int code = parse_bounded(key, text, &value);

    if (code == 0)
        *(unsigned *)field = (unsigned)value;
    return code;
}

static bool format_uint(const struct conf_key *key, const void *field, char *out, size_t size)
{
    (void)key;
    return fits(snprintf(out, size, "%u", *(const unsigned *)field), size);
}

static void describe_uint(const struct conf_key *key, char *out, size_t size)
{
    snprintf(out, size, "a number from %" PRIu64 " to %" PRIu64, key->min, key->max);
}

static int parse_index(const struct conf_key *key, const char *text, void *field)
{
    bool any = strcmp(text, "any") == 0;
    uint64_t value = 0;
    int code = any ? 0 : parse_bounded(key, text, &value);

    if (code == 0)
        *(int *)field = any ? -1 : (int)value;
    return code;
}

static bool format_index(const struct conf_key *key, const void *field, char *out, size_t size)
{
    int value = *(const int *)field;

    (void)key;
    return fits(value < 0 ? snprintf(out, size, "any") : snprintf(out, size, "%d", value), size);
}

static void describe_index(const struct conf_key *key, char *out, size_t size)
{
    snprintf(out, size, "\"any\" or a number from %" PRIu64 " to %" PRIu64, key->min, key->max);
}

/* ---------------------------------------------------------------- durations */

static int parse_msec(const struct conf_key *key, const char *text, void *field)
{
    uint64_t value;
    const char *unit;
    int code = parse_digits(text, &value, &unit);

    if (code < 0)
        return code;
    for (size_t i = 0; i < UNITS; i++) {
        if (strcmp(unit, units[i].name) != 0)
            continue;
        value *= units[i].ms;
        if (value < key->min || value > key->max)
            return ERR_RANGE;
        *(uint64_t *)field = value * 1000;
        return 0;
    }
    return ERR_INVALID;
}

static int print_msec(uint64_t ms, char *out, size_t size)
{
    size_t i = 0;

    if (ms == 0)
        return snprintf(out, size, "0s");
    while (ms % units[i].ms != 0)
        i++;
    return snprintf(out, size, "%" PRIu64 "%s", ms / units[i].ms, units[i].name);
}

static bool format_msec(const struct conf_key *key, const void *field, char *out, size_t size)
{
    (void)key;
    return fits(print_msec(*(const uint64_t *)field / 1000, out, size), size);
}

static void describe_msec(const struct conf_key *key, char *out, size_t size)
{
    char min[32], max[32];

    print_msec(key->min, min, sizeof(min));
    print_msec(key->max, max, sizeof(max));
    snprintf(out, size, "a time from %s to %s, with its unit (ms, s, min or h),", min, max);
}

static int parse_usec(const struct conf_key *key, const char *text, void *field)
{
    uint64_t value = 0;
    const char *unit = "";
    bool none = strcmp(text, "auto") == 0;
    int code = none ? 0 : parse_digits(text, &value, &unit);

    if (code < 0)
        return code;
    if (strcmp(unit, "us") != 0 && (*unit || value != 0))
        return ERR_INVALID;
    if (value < key->min || value > key->max)
        return ERR_RANGE;
    *(int *)field = none ? -1 : (int)value;
    return 0;
}

static bool format_usec(const struct conf_key *key, const void *field, char *out, size_t size)
{
    int value = *(const int *)field;

    (void)key;
    return fits(value < 0 ? snprintf(out, size, "auto") : snprintf(out, size, "%dus", value), size);
}

static void describe_usec(const struct conf_key *key, char *out, size_t size)
{
    snprintf(out, size, "\"auto\" or a time from %" PRIu64 "us to %" PRIu64 "us", key->min,
             key->max);
}

/* ---------------------------------------------------------------- texts and paths */

static int parse_text(const struct conf_key *key, const char *text, void *field)
{
    size_t length = strlen(text);

    if (length < key->min || length >= key->size || length > key->max)
        return ERR_RANGE;
    memcpy(field, text, length);
    return 0;
}

static bool format_text(const struct conf_key *key, const void *field, char *out, size_t size)
{
    (void)key;
    return fits(snprintf(out, size, "%s", (const char *)field), size);
}

static void describe_text(const struct conf_key *key, char *out, size_t size)
{
    snprintf(out, size, "a text of %" PRIu64 " to %" PRIu64 " octets", key->min, key->max);
}

static int parse_path(const struct conf_key *key, const char *text, void *field)
{
    if (text[0] != '/' && (text[0] != '\0' || key->min > 0))
        return ERR_INVALID;
    return parse_text(key, text, field);
}

static void describe_path(const struct conf_key *key, char *out, size_t size)
{
    snprintf(out, size, "an absolute path of at most %" PRIu64 " octets%s", key->max,
             key->min == 0 ? ", or nothing," : "");
}

/* ---------------------------------------------------------------- addresses */

static int parse_ip(const struct conf_key *key, const char *text, void *field)
{
    (void)key;
    return addr_parse_ip(text, field);
}

static bool format_ip(const struct conf_key *key, const void *field, char *out, size_t size)
{
    char text[ADDR_TEXT_SIZE];

    (void)key;
    return fits(snprintf(out, size, "%s", addr_format_ip(field, text, sizeof(text))), size);
}

static void describe_ip(const struct conf_key *key, char *out, size_t size)
{
    (void)key;
    snprintf(out, size, "an IP address such as 192.0.2.1 or 2001:db8::1");
}

/* Family 0 stands for nothing. */
static bool may_be_empty(const struct conf_key *key)
{
    return key->fallback && key->fallback[0] == '\0';
}

static int parse_addr(const struct conf_key *key, const char *text, void *field)
{
    if (text[0] == '\0' && may_be_empty(key))
        return 0;
    return addr_parse(text, field);
}

static bool format_addr(const struct conf_key *key, const void *field, char *out, size_t size)
{
    const struct addr *addr = field;
    char text[ADDR_TEXT_SIZE];

    (void)key;
    return fits(
        snprintf(out, size, "%s", addr->family ? addr_format(addr, text, sizeof(text)) : ""), size);
}

static void describe_addr(const struct conf_key *key, char *out, size_t size)
{
    snprintf(out, size, "an IP address with a port such as 192.0.2.1:7000 or [2001:db8::1]:7000%s",
             may_be_empty(key) ? ", or nothing," : "");
}

/* One label of a DNS name, up to its dot or the end. Returns what is behind it; NULL when wrong. */
static const char *skip_label(const char *label)
{
    const char *at = label;

    while (isalnum((unsigned char)*at) || *at == '-')
        at++;
    if (at == label || at - label > 63 || *label == '-' || at[-1] == '-')
        return NULL;
    return at;
}

bool confvalue_is_dns_name(const char *text)
{
    const char *label = text;
    const char *end = skip_label(label);

    if (strlen(text) > 253)
        return false;
    while (end && *end == '.') {
        label = end + 1;
        end = skip_label(label);
    }
    /* A last label of digits alone would make it look like an IPv4 address. */
    return end && *end == '\0' && label[strspn(label, "0123456789")] != '\0';
}

/* out is zeroed. */
static void copy_lower(const char *text, char out[CONF_NAME_SIZE])
{
    for (size_t i = 0; text[i] && i < CONF_NAME_SIZE - 1; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
}

static int parse_port(const char *text, uint16_t *port)
{
    uint64_t value;
    const char *rest;

    if (parse_digits(text, &value, &rest) < 0 || *rest || value == 0 || value > UINT16_MAX)
        return ERR_INVALID;
    *port = (uint16_t)value;
    return 0;
}

static int parse_hostport(const struct conf_key *key, const char *text, void *field)
{
    struct conf_hostport *out = field;
    char host[CONF_NAME_SIZE];
    const char *colon = strrchr(text, ':');
    struct addr addr;

    if (text[0] == '\0' && may_be_empty(key))
        return 0;
    if (addr_parse(text, &addr) == 0) {
        addr_format_ip(&addr, out->host, sizeof(out->host));
        out->port = addr.port;
        return 0;
    }
    if (!colon ||
        !fits(snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text), sizeof(host)))
        return ERR_INVALID;
    if (!confvalue_is_dns_name(host) || parse_port(colon + 1, &out->port) < 0)
        return ERR_INVALID;
    copy_lower(host, out->host);
    return 0;
}

static bool format_hostport(const struct conf_key *key, const void *field, char *out, size_t size)
{
    const struct conf_hostport *value = field;
    bool v6 = strchr(value->host, ':') != NULL;

    (void)key;
    if (!value->host[0])
        return fits(snprintf(out, size, "%s", ""), size);
    return fits(snprintf(out, size, "%s%s%s:%u", v6 ? "[" : "", value->host, v6 ? "]" : "",
                         (unsigned)value->port),
                size);
}

static void describe_hostport(const struct conf_key *key, char *out, size_t size)
{
    snprintf(out, size,
             "a name or an IP address with a port such as relay.example.com:7000, "
             "192.0.2.1:7000 or [2001:db8::1]:7000%s",
             may_be_empty(key) ? ", or nothing," : "");
}

static int parse_name(const struct conf_key *key, const char *text, void *field)
{
    (void)key;
    if (!confvalue_is_dns_name(text))
        return ERR_INVALID;
    copy_lower(text, field);
    return 0;
}

static void describe_name(const struct conf_key *key, char *out, size_t size)
{
    (void)key;
    snprintf(out, size, "a DNS name such as relay.example.com, without a wildcard,");
}

/* ---------------------------------------------------------------- lists */

/*
 * Cuts the next entry of a list off *rest, which is NULL at the end, into entry. 1, 0 at the end,
 * negative when it is empty or too long.
 */
static int next_entry(const char **rest, char *entry, size_t size)
{
    const char *start = *rest;
    size_t length;

    if (!start)
        return 0;
    length = strcspn(start, ",");
    *rest = start[length] ? start + length + 1 : NULL;
    while (length > 0 && *start == ' ') {
        start++;
        length--;
    }
    while (length > 0 && start[length - 1] == ' ')
        length--;
    if (length == 0 || !fits(snprintf(entry, size, "%.*s", (int)length, start), size))
        return ERR_INVALID;
    return 1;
}

static bool nets_hold(const struct conf_nets *nets, const struct addr_net *net)
{
    for (size_t i = 0; i < nets->count; i++) {
        if (nets->net[i].prefix == net->prefix && addr_ip_equal(&nets->net[i].addr, &net->addr))
            return true;
    }
    return false;
}

static int add_net(struct conf_nets *nets, const char *text)
{
    struct addr_net net;

    if (addr_net_parse(text, &net) < 0)
        return ERR_INVALID;
    if (nets_hold(nets, &net))
        return ERR_EXISTS;
    if (nets->count == CONF_NETS_MAX)
        return ERR_FULL;
    nets->net[nets->count++] = net;
    return 0;
}

static int parse_nets(const struct conf_key *key, const char *text, void *field)
{
    struct conf_nets *nets = field;
    const char *rest = *text ? text : NULL;
    char entry[ADDR_TEXT_SIZE];
    int code;

    while ((code = next_entry(&rest, entry, sizeof(entry))) > 0) {
        code = add_net(nets, entry);
        if (code < 0)
            return code;
    }
    return code == 0 && nets->count < key->min ? ERR_INVALID : code;
}

/* Appends an entry to a list in out. */
static bool append(char *out, size_t size, const char *entry)
{
    size_t used = strlen(out);

    return fits(snprintf(out + used, size - used, "%s%s", used > 0 ? ", " : "", entry),
                size - used);
}

static bool format_nets(const struct conf_key *key, const void *field, char *out, size_t size)
{
    const struct conf_nets *nets = field;
    char text[ADDR_TEXT_SIZE];
    bool ok = true;

    (void)key;
    out[0] = '\0';
    for (size_t i = 0; ok && i < nets->count; i++)
        ok = append(out, size, addr_net_format(&nets->net[i], text, sizeof(text)));
    return ok;
}

static void describe_nets(const struct conf_key *key, char *out, size_t size)
{
    snprintf(out, size,
             "%s %d networks such as 192.0.2.0/24 or 2001:db8::/32, with no bit set behind the "
             "prefix, separated by commas,",
             key->min > 0 ? "1 to" : "at most", CONF_NETS_MAX);
}

static int add_name(struct conf_names *names, const char *text)
{
    if (!confvalue_is_dns_name(text))
        return ERR_INVALID;
    for (size_t i = 0; i < names->count; i++) {
        if (strcasecmp(names->name[i], text) == 0)
            return ERR_EXISTS;
    }
    if (names->count == CONF_NAMES_MAX)
        return ERR_FULL;
    copy_lower(text, names->name[names->count++]);
    return 0;
}

static int parse_names(const struct conf_key *key, const char *text, void *field)
{
    struct conf_names *names = field;
    const char *rest = *text ? text : NULL;
    char entry[CONF_NAME_SIZE];
    int code;

    while ((code = next_entry(&rest, entry, sizeof(entry))) > 0) {
        code = add_name(names, entry);
        if (code < 0)
            return code;
    }
    return code == 0 && names->count < key->min ? ERR_INVALID : code;
}

static bool format_names(const struct conf_key *key, const void *field, char *out, size_t size)
{
    const struct conf_names *names = field;
    bool ok = true;

    (void)key;
    out[0] = '\0';
    for (size_t i = 0; ok && i < names->count; i++)
        ok = append(out, size, names->name[i]);
    return ok;
}

static void describe_names(const struct conf_key *key, char *out, size_t size)
{
    snprintf(out, size,
             "%s %d DNS names such as relay.example.com, without wildcards, separated by commas,",
             key->min > 0 ? "1 to" : "at most", CONF_NAMES_MAX);
}

static int read_socket(const char *text, struct conf_socket *out)
{
    *out = (struct conf_socket){.addr = {.family = 0}};
    if (strncmp(text, "udp:", 4) == 0)
        return addr_parse(text + 4, &out->addr);
    if (strncmp(text, "unix:/", 6) != 0 || text[6] == '\0')
        return ERR_INVALID;
    return fits(snprintf(out->path, sizeof(out->path), "%s", text + 5), sizeof(out->path))
               ? 0
               : ERR_RANGE;
}

static int add_socket(struct conf_sockets *sockets, const char *text)
{
    struct conf_socket made;
    int code = read_socket(text, &made);

    if (code < 0)
        return code;
    for (size_t i = 0; i < sockets->count; i++) {
        const struct conf_socket *other = &sockets->socket[i];

        if (addr_equal(&other->addr, &made.addr) && strcmp(other->path, made.path) == 0)
            return ERR_EXISTS;
    }
    if (sockets->count == CONF_SOCKETS_MAX)
        return ERR_FULL;
    sockets->socket[sockets->count++] = made;
    return 0;
}

static int parse_sockets(const struct conf_key *key, const char *text, void *field)
{
    struct conf_sockets *sockets = field;
    const char *rest = *text ? text : NULL;
    char entry[CONFVALUE_TEXT_SIZE] = "";
    int code;

    while ((code = next_entry(&rest, entry, sizeof(entry))) > 0) {
        code = add_socket(sockets, entry);
        if (code < 0)
            return code;
    }
    return code == 0 && sockets->count < key->min ? ERR_INVALID : code;
}

static bool format_sockets(const struct conf_key *key, const void *field, char *out, size_t size)
{
    const struct conf_sockets *sockets = field;
    char text[CONF_SOCKET_PATH_SIZE + 8], ip[ADDR_TEXT_SIZE];
    bool ok = true;

    (void)key;
    out[0] = '\0';
    for (size_t i = 0; ok && i < sockets->count; i++) {
        const struct conf_socket *one = &sockets->socket[i];

        if (one->addr.family != 0)
            snprintf(text, sizeof(text), "udp:%s", addr_format(&one->addr, ip, sizeof(ip)));
        else
            snprintf(text, sizeof(text), "unix:%s", one->path);
        ok = append(out, size, text);
    }
    return ok;
}

static void describe_sockets(const struct conf_key *key, char *out, size_t size)
{
    snprintf(out, size,
             "%s %d sockets such as udp:127.0.0.1:2223, udp:[::1]:2223 or "
             "unix:/run/media-relay/ng.sock, separated by commas,",
             key->min > 0 ? "1 to" : "at most", CONF_SOCKETS_MAX);
}

/* ---------------------------------------------------------------- words */

/* RFC 2474, 2597, 3246. Returns false for a code point without a name. */
static bool dscp_name(unsigned dscp, char *out, size_t size)
{
    unsigned class = dscp >> 3, drop = (dscp >> 1) & 3;

    if (dscp == DSCP_EF)
        return fits(snprintf(out, size, "ef"), size);
    if (dscp == 0)
        return fits(snprintf(out, size, "be"), size);
    if ((dscp & 7) == 0)
        return fits(snprintf(out, size, "cs%u", class), size);
    if ((dscp & 1) == 0 && class >= 1 && class <= 4 && drop >= 1)
        return fits(snprintf(out, size, "af%u%u", class, drop), size);
    return false;
}

static int parse_dscp(const struct conf_key *key, const char *text, void *field)
{
    const struct conf_key range = {.min = 0, .max = DSCP_MAX};
    char name[8];
    int code = parse_uint(&range, text, field);

    (void)key;
    if (code != ERR_INVALID)
        return code;
    if (strcmp(text, "cs0") == 0)
        text = "be";
    for (unsigned dscp = 0; dscp <= DSCP_MAX; dscp++) {
        if (dscp_name(dscp, name, sizeof(name)) && strcmp(name, text) == 0) {
            *(unsigned *)field = dscp;
            return 0;
        }
    }
    return ERR_INVALID;
}

static bool format_dscp(const struct conf_key *key, const void *field, char *out, size_t size)
{
    unsigned dscp = *(const unsigned *)field;

    (void)key;
    return dscp_name(dscp, out, size) || fits(snprintf(out, size, "%u", dscp), size);
}

static void describe_dscp(const struct conf_key *key, char *out, size_t size)
{
    (void)key;
    snprintf(out, size, "ef, be, cs0 to cs7, af11 to af43, or a number from 0 to 63");
}

/* The word at a position of "a|b|c"; its length is 0 behind the last. */
static size_t choice_at(const char *choices, int position, const char **word)
{
    while (position-- > 0) {
        choices += strcspn(choices, "|");
        choices += *choices == '|';
    }
    *word = choices;
    return strcspn(choices, "|");
}

static int parse_choice(const struct conf_key *key, const char *text, void *field)
{
    const char *word;
    size_t length;

    for (int i = 0; (length = choice_at(key->choices, i, &word)) > 0; i++) {
        if (strlen(text) == length && memcmp(text, word, length) == 0) {
            *(int *)field = i;
            return 0;
        }
    }
    return ERR_INVALID;
}

static bool format_choice(const struct conf_key *key, const void *field, char *out, size_t size)
{
    const char *word;
    size_t length = choice_at(key->choices, *(const int *)field, &word);

    return fits(snprintf(out, size, "%.*s", (int)length, word), size);
}

static void describe_choice(const struct conf_key *key, char *out, size_t size)
{
    const char *word;
    size_t length;

    snprintf(out, size, "one of");
    for (int i = 0; (length = choice_at(key->choices, i, &word)) > 0; i++) {
        size_t used = strlen(out);

        snprintf(out + used, size - used, "%s %.*s", i > 0 ? "," : "", (int)length, word);
    }
}

/* ---------------------------------------------------------------- all of them */

static const struct type types[] = {
    [CONF_BOOL] = {parse_bool, format_bool, describe_bool, sizeof(bool)},
    [CONF_UINT] = {parse_uint, format_uint, describe_uint, sizeof(unsigned)},
    [CONF_MSEC] = {parse_msec, format_msec, describe_msec, sizeof(uint64_t)},
    [CONF_TEXT] = {parse_text, format_text, describe_text, 0},
    [CONF_PATH] = {parse_path, format_text, describe_path, 0},
    [CONF_IP] = {parse_ip, format_ip, describe_ip, sizeof(struct addr)},
    [CONF_ADDR] = {parse_addr, format_addr, describe_addr, sizeof(struct addr)},
    [CONF_HOSTPORT] = {parse_hostport, format_hostport, describe_hostport,
                       sizeof(struct conf_hostport)},
    [CONF_NETS] = {parse_nets, format_nets, describe_nets, sizeof(struct conf_nets)},
    [CONF_NAMES] = {parse_names, format_names, describe_names, sizeof(struct conf_names)},
    [CONF_DSCP] = {parse_dscp, format_dscp, describe_dscp, sizeof(unsigned)},
    [CONF_CHOICE] = {parse_choice, format_choice, describe_choice, sizeof(int)},
    [CONF_NAME] = {parse_name, format_text, describe_name, CONF_NAME_SIZE},
    [CONF_INDEX] = {parse_index, format_index, describe_index, sizeof(int)},
    [CONF_USEC] = {parse_usec, format_usec, describe_usec, sizeof(int)},
    [CONF_SOCKETS] = {parse_sockets, format_sockets, describe_sockets, sizeof(struct conf_sockets)},
};

/* "name = value" must fit a line that confcheck takes. */
static bool fits_line(const struct conf_key *key, const void *field)
{
    char text[CONFVALUE_TEXT_SIZE];

    return confvalue_format(key, field, text, sizeof(text)) &&
           strlen(key->name) + strlen(" = ") + strlen(text) < CONFVALUE_TEXT_SIZE - 1;
}

int confvalue_parse(const struct conf_key *key, const char *text, void *field)
{
    size_t size = confvalue_size(key);
    void *fresh = calloc(1, size);
    int code;

    if (!fresh)
        return ERR_NOMEM;
    code = types[key->type].parse(key, text, fresh);
    if (code == 0 && !fits_line(key, fresh))
        code = ERR_TOO_LONG;
    if (code == 0)
        memcpy(field, fresh, size);
    free(fresh);
    return code;
}

bool confvalue_format(const struct conf_key *key, const void *field, char *out, size_t size)
{
    return types[key->type].format(key, field, out, size);
}

char *confvalue_describe(const struct conf_key *key, char *out, size_t size)
{
    types[key->type].describe(key, out, size);
    return out;
}

size_t confvalue_size(const struct conf_key *key)
{
    return types[key->type].size > 0 ? types[key->type].size : key->size;
}
