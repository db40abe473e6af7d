#include "common/daemon/confcheck.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/err.h"

enum { BLANK_OR_COMMENT, SECTION, KEY };

/* One line, without its end. The word is the key, or what stands between the brackets. */
struct line {
    const char *start, *end;
    unsigned number;
    int kind;
    const char *word;
    size_t word_length;
};

struct word {
    const char *start;
    size_t length;
};

struct check {
    struct line line;
    struct word sections[CONF_SECTIONS_MAX];
    size_t section_count;
    struct word keys[CONF_KEYS_MAX]; /* of the section that the line stands in */
    size_t key_count;
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct check *check, const char *format,
                                                        ...)
{
    int n = snprintf(check->error, check->error_size, "%u: ", check->line.number);
    va_list ap;

    if (n < 0 || (size_t)n >= check->error_size)
        return ERR_CONFIG;
    va_start(ap, format);
    vsnprintf(check->error + n, check->error_size - (size_t)n, format, ap);
    va_end(ap);
    return ERR_CONFIG;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

static const char *skip_word(const char *at, const char *end)
{
    while (at < end && is_word(*at))
        at++;
    return at;
}

/* Finds kind and word; lines that are wrong get some kind, check_line() tells them. */
static void classify(struct line *line)
{
    const char *end;

    line->word = line->start;
    line->kind = KEY;
    if (skip_blanks(line->start, line->end) == line->end || *line->start == ';' ||
        *line->start == '#') {
        line->kind = BLANK_OR_COMMENT;
        return;
    }
    if (*line->start != '[') {
        line->word_length = (size_t)(skip_word(line->start, line->end) - line->start);
        return;
    }
    line->kind = SECTION;
    line->word++;
    end = skip_word(line->word, line->end);
    if (end < line->end && *end == ' ')
        end = skip_word(end + 1, line->end);
    line->word_length = (size_t)(end - line->word);
}

/* Steps to the line behind this one; false at the end of the text. Begin with a zeroed line. */
static bool next_line(struct line *line, const char *text, const char *text_end)
{
    const char *start = text;

    if (line->number > 0)
        start = line->end == text_end ? text_end : line->end + 1;
    if (start == text_end)
        return false;
    line->start = start;
    line->end = memchr(start, '\n', (size_t)(text_end - start));
    if (!line->end)
        line->end = text_end;
    line->number++;
    classify(line);
    return true;
}

static bool word_is(const struct word *word, const char *start, size_t length)
{
    return word->length == length && memcmp(word->start, start, length) == 0;
}

static int check_octets(struct check *check)
{
    const struct line *line = &check->line;

    if (line->end - line->start > CONF_LINE_MAX_OCTETS)
        return refuse(check, "the line has %zu octets; at most %d would be right",
                      (size_t)(line->end - line->start), CONF_LINE_MAX_OCTETS);
    for (const char *at = line->start; at < line->end; at++) {
        if (*at == '\r' && at + 1 == line->end)
            return refuse(check, "the line ends with CR LF; LF alone would be right");
        if (iscntrl((unsigned char)*at) && *at != '\t')
            return refuse(check, "control octet 0x%02x; plain text would be right",
                          (unsigned)(unsigned char)*at);
    }
    if (is_blank(*line->start) && line->kind != BLANK_OR_COMMENT)
        return refuse(check, "the line is indented; it would be right at the left margin");
    return 0;
}

/* Remembers a word that must not come a second time. */
static int remember(struct check *check, struct word *list, size_t *count, size_t max,
                    const char *what)
{
    const struct line *line = &check->line;
    int length = (int)line->word_length;

    if (line->word_length > CONF_WORD_MAX_OCTETS)
        return refuse(check, "the name of the %s has %d octets; at most %d would be right", what,
                      length, CONF_WORD_MAX_OCTETS);
    for (size_t i = 0; i < *count; i++) {
        if (word_is(&list[i], line->word, line->word_length))
            return refuse(check, "the %s \"%.*s\" stands twice; once would be right", what, length,
                          line->word);
    }
    if (*count == max)
        return refuse(check, "one %s too many; at most %zu would be right", what, max);
    list[(*count)++] = (struct word){line->word, line->word_length};
    return 0;
}

/* inih ignores what stands behind the bracket; people would not expect that. */
static int check_section(struct check *check)
{
    const struct line *line = &check->line;
    const char *end = line->word + line->word_length;
    const char *rest = end < line->end ? skip_blanks(end + 1, line->end) : line->end;

    if (line->word_length == 0 || *line->word == ' ' || end == line->end || *end != ']' ||
        end[-1] == ' ')
        return refuse(check, "not a section heading; [section] or [section name] would be right, "
                             "of letters, digits, \"-\", \"_\" and \".\"");
    if (rest < line->end && (*rest != ';' || rest == end + 1))
        return refuse(check, "text behind the section heading; a line of its own would be right");
    check->key_count = 0;
    return remember(check, check->sections, &check->section_count, CONF_SECTIONS_MAX, "section");
}

/* start is behind the "=". */
static int check_value(struct check *check, const char *start)
{
    const char *end = check->line.end;

    for (const char *at = start; at < end; at++) {
        if (*at == ';' && at > start && is_blank(at[-1]))
            end = at;
    }
    start = skip_blanks(start, end);
    while (end > start && is_blank(end[-1]))
        end--;
    if (start < end && *start == ';')
        return refuse(check,
                      "the value begins with \";\"; a blank before a comment would be right");
    for (const char *at = start; at < end; at++) {
        if (*at == '\t')
            return refuse(check, "tab inside a value; a blank would be right");
        if (*at == '#' && (at == start || at[-1] == ' '))
            return refuse(check, "\"#\" behind \"=\"; \" ;\" before a comment would be right");
    }
    return 0;
}

static int check_key(struct check *check)
{
    const struct line *line = &check->line;
    const char *at = skip_blanks(line->word + line->word_length, line->end);
    int code;

    if (line->number == 1 && line->end - line->start >= 3 &&
        memcmp(line->start, "\xef\xbb\xbf", 3) == 0)
        return refuse(check, "a byte order mark; a file without it would be right");
    if (line->word_length == 0 || at == line->end || *at != '=')
        return refuse(check, "neither a comment nor a section; key = value would be right");
    if (check->section_count == 0)
        return refuse(check, "a key before the first section; [section] above it would be right");
    code = remember(check, check->keys, &check->key_count, CONF_KEYS_MAX, "key");
    return code < 0 ? code : check_value(check, at + 1);
}

static int check_line(struct check *check)
{
    int code = check_octets(check);

    if (code < 0 || check->line.kind == BLANK_OR_COMMENT)
        return code;
    return check->line.kind == SECTION ? check_section(check) : check_key(check);
}

int confcheck(const char *text, size_t length, char *error, size_t error_size)
{
    struct check check = {.error = error, .error_size = error_size};
    int code = 0;

    if (length > CONF_FILE_MAX_OCTETS) {
        check.line.number = 1;
        return refuse(&check, "the file has %zu octets; at most %d would be right", length,
                      CONF_FILE_MAX_OCTETS);
    }
    while (code == 0 && next_line(&check.line, text, text + length))
        code = check_line(&check);
    return code;
}

unsigned confcheck_find(const char *text, const char *section, const char *key)
{
    const char *end = text + strlen(text);
    struct line line = {0};
    bool inside = false;

    while (next_line(&line, text, end)) {
        struct word word = {line.word, line.word_length};

        if (line.kind == SECTION)
            inside = word_is(&word, section, strlen(section));
        if (line.kind == SECTION && inside && !key)
            return line.number;
        if (line.kind == KEY && inside && key && word_is(&word, key, strlen(key)))
            return line.number;
    }
    return 0;
}

bool confcheck_next_section(const char *text, unsigned *number, char name[CONF_WORD_MAX_OCTETS + 1])
{
    const char *end = text + strlen(text);
    struct line line = {0};

    while (next_line(&line, text, end)) {
        if (line.kind != SECTION || line.number <= *number)
            continue;
        *number = line.number;
        snprintf(name, CONF_WORD_MAX_OCTETS + 1, "%.*s", (int)line.word_length, line.word);
        return true;
    }
    return false;
}
