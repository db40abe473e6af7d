/* What relayctl prints for people is made of: tables, and values of a reply as short texts. */
#ifndef COMMON_DAEMON_RELAYCTL_TABLE_H
#define COMMON_DAEMON_RELAYCTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

enum { RELAYCTL_CELL_SIZE = 320 };

struct relayctl_column {
    const char *head;
    bool right; /* numbers stand to the right */
};

/* Rows are kept until all are known: only then are the widths. */
struct relayctl_table {
    const struct relayctl_column *columns; /* ended by head NULL */
    size_t width, count, size;             /* columns; cells used; cells there is room for */
    char **cells;
};

/* An empty one. */
struct relayctl_table relayctl_table_of(const struct relayctl_column *columns);
/* Frees the cells too. */
void relayctl_table_print(struct relayctl_table *table, FILE *to);

/* The next cell, row by row; text is copied, and "-" stands for none. */
void relayctl_add(struct relayctl_table *table, const char *text);
/* The same for a member of a reply. */
void relayctl_add_member(struct relayctl_table *table, const json_t *object, const char *name);
/* The same for a number; "-" for what is none. */
void relayctl_add_with(struct relayctl_table *table, const json_t *value,
                       const char *(*text_for)(int64_t, char *, size_t));
void relayctl_add_duration(struct relayctl_table *table, const json_t *object, const char *name);
void relayctl_add_octets(struct relayctl_table *table, const json_t *object, const char *name);
void relayctl_add_hex(struct relayctl_table *table, const json_t *object, const char *name);

/* A number that no int64_t holds is as good as the greatest. */
int64_t relayctl_whole(const json_t *value);
int64_t relayctl_number_of(const json_t *object, const char *name);
/* A short text for any value but an object, "-" for null and for what is missing. Returns out. */
const char *relayctl_text_of(const json_t *value, char *out, size_t size);
/* "1 h 2 min": two units are enough to see how long. Returns out. */
const char *relayctl_duration_text(int64_t seconds, char *out, size_t size);
/* "12.3 MB". Returns out. */
const char *relayctl_octets_text(int64_t octets, char *out, size_t size);
/* "0x00000001". Returns out. */
const char *relayctl_hex_text(int64_t number, char *out, size_t size);

#endif
