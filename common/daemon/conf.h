/*
 * The ini file. One table of keys per daemon parses it, checks it (-t), prints
 * the effective values (-T), and is compared with the man page by a test.
 *
 * The file is checked whole before inih sees it (confcheck.h), read into a new
 * structure, and that structure is used only when everything in it is right.
 */
#ifndef COMMON_DAEMON_CONF_H
#define COMMON_DAEMON_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/addr.h"

enum conf_type {
    CONF_BOOL, /* bool: yes or no */
    CONF_UINT, /* unsigned: decimal, min to max */
    CONF_MSEC, /* uint64_t microseconds; written "60ms", "2s", "5min"; min and max in milliseconds
                */
    CONF_TEXT, /* char[size]: min is the least, max the greatest length */
    CONF_PATH, /* char[size]: an absolute path, or empty where min is 0 */
    CONF_IP,   /* struct addr, port 0 */
    CONF_ADDR, /* struct addr with port; with the fallback "" also none, family 0 */
    CONF_HOSTPORT, /* struct conf_hostport: name or address, and port; "[v6]:port"; with "" also
                      none */
    CONF_NETS,     /* struct conf_nets: CIDRs, separated by commas; at least min of them */
    CONF_NAMES,    /* struct conf_names: DNS names, separated by commas; at least min of them */
    CONF_DSCP,     /* unsigned 0 to 63; a number, or ef, cs0 to cs7, af11 to af43, be */
    CONF_CHOICE,   /* int, or an enum: position of the word in choices ("stderr|syslog") */
    CONF_NAME,     /* char[CONF_NAME_SIZE]: one DNS name */
    CONF_INDEX,    /* int: decimal, min to max, or "any", which is -1 */
    CONF_USEC,     /* int: microseconds, min to max; written "0", "500us", or "auto", which is -1 */
    CONF_SOCKETS, /* struct conf_sockets: "udp:ADDRESS:PORT" and "unix:PATH", separated by commas */
};

enum { CONF_NETS_MAX = 32, CONF_NAMES_MAX = 64, CONF_NAME_SIZE = 256, CONF_SOCKETS_MAX = 4 };
enum { CONF_SOCKET_PATH_SIZE = 108 }; /* of sun_path */

struct conf_hostport {
    char host[CONF_NAME_SIZE];
    uint16_t port;
};
struct conf_nets {
    size_t count;
    struct addr_net net[CONF_NETS_MAX];
};
struct conf_names {
    size_t count;
    char name[CONF_NAMES_MAX][CONF_NAME_SIZE];
};
/* A UDP socket, or a Unix one: of the latter addr.family is 0. */
struct conf_socket {
    struct addr addr;
    char path[CONF_SOCKET_PATH_SIZE];
};
struct conf_sockets {
    size_t count;
    struct conf_socket socket[CONF_SOCKETS_MAX];
};

struct conf_key {
    const char *section; /* of a named section ("[listener NAME]") the first word */
    const char *name;
    enum conf_type type;
    size_t offset; /* in the section's structure */
    size_t size;   /* of the field, for CONF_TEXT and CONF_PATH */
    uint64_t min, max;
    /* As it would be written; "@KEY": what KEY of this section has; NULL: the key is required. */
    const char *fallback;
    const char *choices;
    bool live; /* takes effect on SIGHUP; others need a restart, and a reload says so */
};

/* A kind of section: "[tunnel]", or "[listener NAME]" with named true. */
struct conf_section {
    const char *name;
    bool named;
    size_t offset;       /* of the structure, or of the array's first element, in the whole */
    size_t element_size; /* named only; each element begins with char name[NAME_SIZE] */
    size_t count_offset; /* named only: a size_t in the whole */
    size_t min, max;     /* named only: how many there must and may be */
};

/* What a check of several values found: the message, and the place to name. */
struct conf_complaint {
    char section[80]; /* "listener main" */
    const char *key;
    char text[256]; /* "what is wrong; what would be right" */
};

struct conf_schema {
    const struct conf_section *sections; /* ended by name NULL */
    const struct conf_key *keys;         /* ended by name NULL; of one section side by side */
    size_t size;                         /* of the whole structure */
    /* Checks that need more than one value; negative with *complaint filled in. May be NULL. */
    int (*check)(const void *conf, struct conf_complaint *complaint);
};

/*
 * Reads path, which must be a regular file, into memory of schema->size (*conf,
 * owned by the caller, free()). On failure: a negative code, *conf NULL, and a
 * message in error: "FILE:LINE: [section] key: what is wrong; what would be right".
 */
int conf_read(const struct conf_schema *schema, const char *path, void **conf, char *error,
              size_t error_size);
/* The same from length octets of text; name stands for the file in messages. */
int conf_parse(const struct conf_schema *schema, const char *name, const char *text, size_t length,
               void **conf, char *error, size_t error_size);
/*
 * The line of key in [section] of the file, for a complaint about what the value
 * stands for; 0 when the file cannot be read any more or has no such line.
 */
unsigned conf_line(const char *path, const char *section, const char *key);
/* The effective values as an ini file that conf_read would take. */
void conf_print(const struct conf_schema *schema, const void *conf, FILE *to);
/*
 * Compares two; calls changed() once for each key whose value differs, with
 * section as it is written in the file; of a named section that only one has,
 * for each of its keys. Returns the number of keys that differ and are not live.
 */
size_t conf_compare(const struct conf_schema *schema, const void *before, const void *after,
                    void (*changed)(void *ctx, const char *section, const struct conf_key *key),
                    void *ctx);
/*
 * Copies the values of the live keys, and nothing else. Of sections with a name either all keys are
 * live, and the sections themselves come and go, or none is.
 */
void conf_copy_live(const struct conf_schema *schema, void *to, const void *from);

#endif
