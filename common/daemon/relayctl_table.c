#include "config.h"

#include "common/daemon/relayctl_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/daemon/relayctl.h"

enum { GAP = 2 };

/* ---------------------------------------------------------------- tables */

struct relayctl_table relayctl_table_of(const struct relayctl_column *columns)
{
    struct relayctl_table table = {.columns = columns};

    while (columns[table.width].head)
        table.width++;
    return table;
}

/* Columns of a terminal: octets that do not continue a UTF-8 character. */
static size_t text_width(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void *or_die(void *memory)
{
    if (memory)
        return memory;
    relayctl_complain("out of memory");
    exit(RELAYCTL_NO_DAEMON);
}

void relayctl_add(struct relayctl_table *table, const char *text)
{
    char *cell;

    if (table->count == table->size) {
        table->size = table->size ? 2 * table->size : 64;
        table->cells = or_die(realloc(table->cells, table->size * sizeof(char *)));
    }
    cell = or_die(strdup(text[0] ? text : "-"));
    relayctl_clean(cell);
    table->cells[table->count++] = cell;
}

static void print_cell(FILE *to, const struct relayctl_column *column, const char *text,
                       size_t width, bool last)
{
    int blanks = (int)(width - text_width(text));

    if (column->right)
        fprintf(to, "%*s%s", blanks, "", text);
    else
        fprintf(to, "%s%*s", text, last ? 0 : blanks, "");
    if (last)
        fputc('\n', to);
    else
        fprintf(to, "%*s", GAP, "");
}

static void measure(const struct relayctl_table *table, size_t *widths)
{
    for (size_t i = 0; i < table->width; i++)
        widths[i] = strlen(table->columns[i].head);
    for (size_t i = 0; i < table->count; i++) {
        size_t width = text_width(table->cells[i]);

        if (width > widths[i % table->width])
            widths[i % table->width] = width;
    }
}

void relayctl_table_print(struct relayctl_table *table, FILE *to)
{
    size_t *widths = or_die(calloc(table->width, sizeof(*widths)));

    measure(table, widths);
    for (size_t i = 0; i < table->width; i++)
        print_cell(to, &table->columns[i], table->columns[i].head, widths[i],
                   i + 1 == table->width);
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->width;

        print_cell(to, &table->columns[column], table->cells[i], widths[column],
                   column + 1 == table->width);
        free(table->cells[i]);
    }
    free(table->cells);
    free(widths);
}

/* ---------------------------------------------------------------- values */

int64_t relayctl_whole(const json_t *value)
{
    double real = json_real_value(value);

    if (!json_is_real(value))
        return json_integer_value(value);
    return real < 9e18 && real > -9e18 ? (int64_t)real : INT64_MAX;
}

int64_t relayctl_number_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

const char *relayctl_text_of(const json_t *value, char *out, size_t size)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_STRING:
        snprintf(out, size, "%s", json_string_length(value) ? json_string_value(value) : "-");
        break;
    case JSON_INTEGER:
        snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(out, size, "%.1f", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(out, size, "%s", json_is_true(value) ? "yes" : "no");
        break;
    default:
        snprintf(out, size, "-");
    }
    relayctl_clean(out);
    return out;
}

const char *relayctl_duration_text(int64_t seconds, char *out, size_t size)
{
    long long s = seconds;

    if (s < 60)
        snprintf(out, size, "%lld s", s);
    else if (s < 3600)
        snprintf(out, size, "%lld min %lld s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, size, "%lld h %lld min", s / 3600, s / 60 % 60);
    else
        snprintf(out, size, "%lld d %lld h", s / 86400, s / 3600 % 24);
    return out;
}

const char *relayctl_octets_text(int64_t octets, char *out, size_t size)
{
    static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)octets / 1000;
    size_t unit = 0;

    if (octets < 1000) {
        snprintf(out, size, "%lld B", (long long)octets);
        return out;
    }
    for (; value >= 999.95 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        value /= 1000;
    snprintf(out, size, "%.1f %s", value, units[unit]);
    return out;
}

void relayctl_add_member(struct relayctl_table *table, const json_t *object, const char *name)
{
    char text[RELAYCTL_CELL_SIZE];

    relayctl_add(table, relayctl_text_of(json_object_get(object, name), text, sizeof(text)));
}

void relayctl_add_with(struct relayctl_table *table, const json_t *value,
                       const char *(*text_for)(int64_t, char *, size_t))
{
    char text[RELAYCTL_CELL_SIZE];

    relayctl_add(table,
                 json_is_number(value) ? text_for(relayctl_whole(value), text, sizeof(text)) : "-");
}

void relayctl_add_duration(struct relayctl_table *table, const json_t *object, const char *name)
{
    relayctl_add_with(table, json_object_get(object, name), relayctl_duration_text);
}

void relayctl_add_octets(struct relayctl_table *table, const json_t *object, const char *name)
{
    relayctl_add_with(table, json_object_get(object, name), relayctl_octets_text);
}

const char *relayctl_hex_text(int64_t number, char *out, size_t size)
{
    snprintf(out, size, "0x%08" PRIx64, (uint64_t)number);
    return out;
}

void relayctl_add_hex(struct relayctl_table *table, const json_t *object, const char *name)
{
    relayctl_add_with(table, json_object_get(object, name), relayctl_hex_text);
}
