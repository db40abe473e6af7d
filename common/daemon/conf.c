#include "common/daemon/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/protocol.h"
#include "common/daemon/confcheck.h"
#include "common/daemon/confvalue.h"

enum { SECTION_TEXT_SIZE = CONF_WORD_MAX_OCTETS + 1 + NAME_SIZE, DESCRIBE_SIZE = 256 };

struct parse {
    const struct conf_schema *schema;
    const char *name; /* of the file */
    const char *text;
    char *conf;
    int code; /* the first failure */
    char *error;
    size_t error_size;
};

/* One section of a structure: its kind, where it lies, what it is called in the file. */
struct place {
    const struct conf_section *section;
    char *base;
    char text[SECTION_TEXT_SIZE];
};

/* ---------------------------------------------------------------- messages */

static unsigned last_line(const char *text)
{
    unsigned line = 1;

    for (; *text; text++)
        line += *text == '\n' && text[1] != '\0';
    return line;
}

/* Where somebody has to look: the key, or else its section, or else the end of the file. */
static unsigned line_of(const struct parse *parse, const char *section, const char *key)
{
    unsigned line = key ? confcheck_find(parse->text, section, key) : 0;

    if (line == 0)
        line = confcheck_find(parse->text, section, NULL);
    return line > 0 ? line : last_line(parse->text);
}

/* Says it once: what comes after the first failure is not reported. key may be NULL. */
__attribute__((format(printf, 4, 5))) static int refuse(struct parse *parse, const char *section,
                                                        const char *key, const char *format, ...)
{
    va_list ap;
    int n;

    if (parse->code < 0)
        return parse->code;
    parse->code = ERR_CONFIG;
    n = snprintf(parse->error, parse->error_size, "%s:%u: [%s]%s%s: ", parse->name,
                 line_of(parse, section, key), section, key ? " " : "", key ? key : "");
    if (n < 0 || (size_t)n >= parse->error_size)
        return parse->code;
    va_start(ap, format);
    vsnprintf(parse->error + n, parse->error_size - (size_t)n, format, ap);
    va_end(ap);
    return parse->code;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance; both are at most CONF_WORD_MAX_OCTETS long. */
static size_t distance(const char *a, const char *b)
{
    size_t row[CONF_WORD_MAX_OCTETS + 1];
    size_t width = least(strlen(b), CONF_WORD_MAX_OCTETS);

    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < width; j++) {
            size_t replaced = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            row[j + 1] = least(replaced, least(row[j], diagonal) + 1);
        }
    }
    return row[width];
}

static const char *nearest_section(const struct conf_schema *schema, const char *word)
{
    const struct conf_section *best = schema->sections;

    for (const struct conf_section *s = schema->sections; s->name; s++) {
        if (distance(word, s->name) < distance(word, best->name))
            best = s;
    }
    return best->name;
}

static const char *nearest_key(const struct conf_schema *schema, const char *section,
                               const char *word)
{
    const char *best = NULL;

    for (const struct conf_key *k = schema->keys; k->name; k++) {
        if (strcmp(k->section, section) == 0 &&
            (!best || distance(word, k->name) < distance(word, best)))
            best = k->name;
    }
    return best ? best : "none";
}

/* ---------------------------------------------------------------- sections and keys */

static size_t section_count(const struct conf_section *section, const char *conf)
{
    size_t count;

    if (!section->named)
        return 1;
    memcpy(&count, conf + section->count_offset, sizeof(count));
    return count;
}

/* The section with this index; an unnamed one has only 0. */
static void place_at(struct place *place, const struct conf_section *section, char *conf,
                     size_t index)
{
    place->section = section;
    place->base = conf + section->offset + (section->named ? index * section->element_size : 0);
    if (section->named)
        snprintf(place->text, sizeof(place->text), "%s %.*s", section->name, NAME_SIZE - 1,
                 place->base);
    else
        snprintf(place->text, sizeof(place->text), "%s", section->name);
}

/* Finds the section that is called text in the file. */
static bool place_find(struct place *place, const struct conf_schema *schema, char *conf,
                       const char *text)
{
    for (const struct conf_section *s = schema->sections; s->name; s++) {
        for (size_t i = 0; i < section_count(s, conf); i++) {
            place_at(place, s, conf, i);
            if (strcmp(place->text, text) == 0)
                return true;
        }
    }
    return false;
}

static const struct conf_key *key_find(const struct conf_schema *schema, const char *section,
                                       const char *name)
{
    const struct conf_key *key = schema->keys;

    while (key->name && (strcmp(key->section, section) != 0 || strcmp(key->name, name) != 0))
        key++;
    return key->name ? key : NULL;
}

/* Makes room for "[listener NAME]". */
static int add_named(struct parse *parse, const struct conf_section *section, const char *text,
                     const char *name)
{
    size_t count = section_count(section, parse->conf);
    char *element = parse->conf + section->offset + count * section->element_size;

    if (count == section->max)
        return refuse(parse, text, NULL,
                      "one section [%s NAME] too many; at most %zu would be right", section->name,
                      section->max);
    snprintf(element, NAME_SIZE, "%s", name);
    count++;
    memcpy(parse->conf + section->count_offset, &count, sizeof(count));
    return 0;
}

static int add_section(struct parse *parse, const char *text)
{
    const struct conf_section *section = parse->schema->sections;
    const char *blank = strchr(text, ' ');
    char word[SECTION_TEXT_SIZE];

    snprintf(word, sizeof(word), "%.*s", (int)(blank ? (size_t)(blank - text) : strlen(text)),
             text);
    while (section->name && strcmp(section->name, word) != 0)
        section++;
    if (!section->name)
        return refuse(parse, text, NULL, "unknown section; the nearest known one is [%s]",
                      nearest_section(parse->schema, word));
    if (section->named && !blank)
        return refuse(parse, text, NULL, "a section without a name; [%s NAME] would be right",
                      word);
    if (!section->named && blank)
        return refuse(parse, text, NULL, "a section with a name; [%s] would be right", word);
    return section->named ? add_named(parse, section, text, blank + 1) : 0;
}

static int add_sections(struct parse *parse)
{
    char text[CONF_WORD_MAX_OCTETS + 1];
    unsigned line = 0;

    while (parse->code == 0 && confcheck_next_section(parse->text, &line, text))
        add_section(parse, text);
    return parse->code;
}

/* ---------------------------------------------------------------- values */

static void refuse_value(struct parse *parse, const char *section, const struct conf_key *key,
                         const char *value, int code)
{
    char right[DESCRIBE_SIZE];

    confvalue_describe(key, right, sizeof(right));
    if (code == ERR_NOMEM)
        parse->code = code;
    else if (code == ERR_EXISTS)
        refuse(parse, section, key->name, "\"%s\" names one thing twice; %s would be right", value,
               right);
    else if (code == ERR_TOO_LONG)
        refuse(parse, section, key->name,
               "printed in full the line would be too long; at most %d octets would be right",
               CONF_LINE_MAX_OCTETS);
    else
        refuse(parse, section, key->name, "\"%s\" is %s; %s would be right", value,
               code == ERR_RANGE ? "out of range" : "wrong", right);
}

/* inih's handler; not 0 lets it go on. */
static int take_value(void *ctx, const char *section, const char *name, const char *value)
{
    struct parse *parse = ctx;
    const struct conf_key *key;
    struct place place;
    int code;

    if (parse->code < 0)
        return 1;
    /* Cannot be: all sections were added. */
    if (!place_find(&place, parse->schema, parse->conf, section)) {
        refuse(parse, section, name, "unknown section");
        return 1;
    }
    key = key_find(parse->schema, place.section->name, name);
    if (!key) {
        refuse(parse, section, name, "unknown key; the nearest known one is \"%s\"",
               nearest_key(parse->schema, place.section->name, name));
        return 1;
    }
    code = confvalue_parse(key, value, place.base + key->offset);
    if (code < 0)
        refuse_value(parse, section, key, value, code);
    return 1;
}

static void take_fallback(struct parse *parse, const struct place *place,
                          const struct conf_key *key)
{
    char right[DESCRIBE_SIZE];
    int code = 0;

    if (!key->fallback) {
        refuse(parse, place->text, key->name, "it is missing; %s would be right",
               confvalue_describe(key, right, sizeof(right)));
    } else if (key->fallback[0] == '@') {
        const struct conf_key *other = key_find(parse->schema, key->section, key->fallback + 1);

        memcpy(place->base + key->offset, place->base + other->offset, confvalue_size(key));
    } else {
        code = confvalue_parse(key, key->fallback, place->base + key->offset);
    }
    if (code < 0)
        refuse_value(parse, place->text, key, key->fallback, code);
}

/* Fills in what the file does not say. */
static int take_fallbacks(struct parse *parse)
{
    struct place place;

    for (const struct conf_section *s = parse->schema->sections; s->name; s++) {
        if (s->named && section_count(s, parse->conf) < s->min)
            refuse(parse, s->name, NULL,
                   "there are too few of these sections; at least %zu [%s NAME] would be right",
                   s->min, s->name);
        for (size_t i = 0; i < section_count(s, parse->conf); i++) {
            place_at(&place, s, parse->conf, i);
            for (const struct conf_key *k = parse->schema->keys; k->name && parse->code == 0; k++) {
                if (strcmp(k->section, s->name) == 0 &&
                    confcheck_find(parse->text, place.text, k->name) == 0)
                    take_fallback(parse, &place, k);
            }
        }
    }
    return parse->code;
}

static int check_all(struct parse *parse)
{
    struct conf_complaint complaint = {.key = NULL};

    if (!parse->schema->check || parse->schema->check(parse->conf, &complaint) >= 0)
        return 0;
    return refuse(parse, complaint.section, complaint.key, "%s", complaint.text);
}

/* The text was checked; every line is one that inih takes. */
static int take_values(struct parse *parse)
{
    int line = ini_parse_string(parse->text, take_value, parse);

    if (line != 0 && parse->code == 0) {
        parse->code = ERR_CONFIG;
        snprintf(parse->error, parse->error_size,
                 "%s:%d: the line cannot be read; key = value would be right", parse->name, line);
    }
    return parse->code;
}

static int parse_text(struct parse *parse, size_t length)
{
    char why[512];
    int code = confcheck(parse->text, length, why, sizeof(why));

    if (code < 0) {
        snprintf(parse->error, parse->error_size, "%s:%s", parse->name, why);
        return code;
    }
    if (add_sections(parse) < 0 || take_values(parse) < 0 || take_fallbacks(parse) < 0)
        return parse->code;
    return check_all(parse);
}

int conf_parse(const struct conf_schema *schema, const char *name, const char *text, size_t length,
               void **conf, char *error, size_t error_size)
{
    struct parse parse = {.schema = schema, .name = name, .error = error, .error_size = error_size};
    char *copy = calloc(1, length + 1);
    int code = ERR_NOMEM;

    *conf = NULL;
    snprintf(error, error_size, "%s: %s", name, err_text(ERR_NOMEM));
    parse.conf = calloc(1, schema->size);
    if (copy && parse.conf) {
        if (length > 0)
            memcpy(copy, text, length);
        parse.text = copy;
        code = parse_text(&parse, length);
    }
    free(copy);
    if (code < 0) {
        free(parse.conf);
        return code;
    }
    *conf = parse.conf;
    error[0] = '\0';
    return 0;
}

/* ---------------------------------------------------------------- the file */

/* Up to size octets; the number read, or -1 with errno. */
static ssize_t read_all(int fd, char *buffer, size_t size)
{
    size_t used = 0;

    while (used < size) {
        ssize_t n = read(fd, buffer + used, size - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

/* One octet more than is allowed is read, so that confcheck sees that it is too much. */
static int read_file(int fd, const char *path, char *buffer, size_t size, size_t *length,
                     char *error, size_t error_size)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
        snprintf(error, error_size, "%s: not a regular file; an ini file would be right", path);
        return ERR_CONFIG;
    }
    n = read_all(fd, buffer, size);
    if (n < 0) {
        snprintf(error, error_size, "%s: cannot be read: %s", path, strerror(errno));
        return ERR_SYSTEM;
    }
    *length = (size_t)n;
    return 0;
}

/* Without O_NONBLOCK the open of a FIFO would wait for somebody who writes to it. */
static int open_file(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

int conf_read(const struct conf_schema *schema, const char *path, void **conf, char *error,
              size_t error_size)
{
    int fd = open_file(path);
    char *buffer = malloc(CONF_FILE_MAX_OCTETS + 1);
    size_t length = 0;
    int code;

    *conf = NULL;
    if (fd < 0) {
        code = ERR_SYSTEM;
        snprintf(error, error_size, "%s: cannot be opened: %s; -c names another file", path,
                 strerror(errno));
    } else if (!buffer) {
        code = ERR_NOMEM;
        snprintf(error, error_size, "%s: %s", path, err_text(code));
    } else {
        code = read_file(fd, path, buffer, CONF_FILE_MAX_OCTETS + 1, &length, error, error_size);
        if (code == 0)
            code = conf_parse(schema, path, buffer, length, conf, error, error_size);
    }
    if (fd >= 0)
        close(fd);
    free(buffer);
    return code;
}

unsigned conf_line(const char *path, const char *section, const char *key)
{
    int fd = open_file(path);
    char *buffer = calloc(1, CONF_FILE_MAX_OCTETS + 2);
    char why[512];
    size_t length = 0;
    unsigned line = 0;

    if (fd >= 0 && buffer &&
        read_file(fd, path, buffer, CONF_FILE_MAX_OCTETS + 1, &length, why, sizeof(why)) == 0 &&
        confcheck(buffer, length, why, sizeof(why)) == 0)
        line = confcheck_find(buffer, section, key);
    if (fd >= 0)
        close(fd);
    free(buffer);
    return line;
}

/* ---------------------------------------------------------------- what is in force */

static void print_place(const struct conf_schema *schema, const struct place *place, FILE *to)
{
    char value[CONFVALUE_TEXT_SIZE];

    fprintf(to, "[%s]\n", place->text);
    for (const struct conf_key *k = schema->keys; k->name; k++) {
        if (strcmp(k->section, place->section->name) != 0)
            continue;
        confvalue_format(k, place->base + k->offset, value, sizeof(value));
        fprintf(to, "%s =%s%s\n", k->name, value[0] ? " " : "", value);
    }
}

void conf_print(const struct conf_schema *schema, const void *conf, FILE *to)
{
    struct place place;
    bool first = true;

    for (const struct conf_section *s = schema->sections; s->name; s++) {
        for (size_t i = 0; i < section_count(s, conf); i++) {
            if (!first)
                fputc('\n', to);
            first = false;
            /* place is for writers too; nothing is written here. */
            place_at(&place, s, (char *)(uintptr_t)conf, i);
            print_place(schema, &place, to);
        }
    }
}

struct compare {
    const struct conf_schema *schema;
    void (*changed)(void *ctx, const char *section, const struct conf_key *key);
    void *ctx;
    size_t not_live;
};

/* other is the section in the other structure, or NULL when it is not there. */
static void compare_place(struct compare *compare, const struct place *place,
                          const struct place *other)
{
    char a[CONFVALUE_TEXT_SIZE], b[CONFVALUE_TEXT_SIZE];

    for (const struct conf_key *k = compare->schema->keys; k->name; k++) {
        if (strcmp(k->section, place->section->name) != 0)
            continue;
        if (other) {
            confvalue_format(k, place->base + k->offset, a, sizeof(a));
            confvalue_format(k, other->base + k->offset, b, sizeof(b));
            if (strcmp(a, b) == 0)
                continue;
        }
        compare->changed(compare->ctx, place->text, k);
        compare->not_live += !k->live;
    }
}

/* Goes over the sections of one; with only_missing only those that the other one lacks. */
static void compare_from(struct compare *compare, char *one, char *other, bool only_missing)
{
    struct place place, found;

    for (const struct conf_section *s = compare->schema->sections; s->name; s++) {
        for (size_t i = 0; i < section_count(s, one); i++) {
            bool there;

            place_at(&place, s, one, i);
            there = place_find(&found, compare->schema, other, place.text);
            if (!there || !only_missing)
                compare_place(compare, &place, there ? &found : NULL);
        }
    }
}

size_t conf_compare(const struct conf_schema *schema, const void *before, const void *after,
                    void (*changed)(void *ctx, const char *section, const struct conf_key *key),
                    void *ctx)
{
    struct compare compare = {.schema = schema, .changed = changed, .ctx = ctx};
    char *a = (char *)(uintptr_t)before, *b = (char *)(uintptr_t)after;

    compare_from(&compare, b, a, false);
    compare_from(&compare, a, b, true);
    return compare.not_live;
}

/* Of a named section all keys are live, or none. */
static bool is_live(const struct conf_schema *schema, const struct conf_section *section)
{
    const struct conf_key *key = schema->keys;

    while (key->name && strcmp(key->section, section->name) != 0)
        key++;
    return key->name && key->live;
}

static void copy_named(const struct conf_section *section, char *to, const char *from)
{
    memcpy(to + section->offset, from + section->offset, section->max * section->element_size);
    memcpy(to + section->count_offset, from + section->count_offset, sizeof(size_t));
}

void conf_copy_live(const struct conf_schema *schema, void *to, const void *from)
{
    for (const struct conf_section *s = schema->sections; s->name; s++) {
        if (s->named && is_live(schema, s))
            copy_named(s, to, from);
        for (const struct conf_key *k = schema->keys; k->name && !s->named; k++) {
            if (k->live && strcmp(k->section, s->name) == 0)
                memcpy((char *)to + s->offset + k->offset,
                       (const char *)from + s->offset + k->offset, confvalue_size(k));
        }
    }
}
