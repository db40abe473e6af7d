/*
 * A message of the ng protocol: a cookie, a blank, and a dictionary in bencode or JSON. Requests
 * are read with all keys in one form ("received from" is received-from), and a reply is made in the
 * form of its request.
 */
#ifndef INNER_RELAY_NGMESSAGE_H
#define INNER_RELAY_NGMESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "inner-relay/bencode.h"

enum {
    NG_COOKIE_MAX = 255,
    NG_REPLY_MAX = 65507, /* one datagram */
    NG_WORD_SIZE = 64,    /* of the words of lists: flags and the like */
};

struct ngmessage {
    bool json;
    /* Into the datagram; length 0: none, as on a stream. */
    const char *cookie;
    size_t cookie_length;
    struct json_t *dict; /* NULL until it was read */
};

/*
 * Splits a datagram. 0, *body and *body_length are the dictionary's octets; or ERR_INVALID when it
 * is not cookie, blank and more, which is answered by nothing.
 */
int ngmessage_split(struct ngmessage *message, const char *data, size_t length, const char **body,
                    size_t *body_length);
/* 0, or negative with what is wrong, and where, in error. In both cases ngmessage_fini(). */
int ngmessage_read(struct ngmessage *message, const char *body, size_t length,
                   char error[BENCODE_ERROR_SIZE]);
/* On a stream nothing but the dictionary itself says where it ends. False: more octets may come. */
bool ngmessage_is_whole(const char *body, size_t length);
void ngmessage_fini(struct ngmessage *message);

/*
 * The string of a key; both live as long as the message. 0; ERR_NOT_FOUND when there is none;
 * ERR_INVALID when it is something else.
 */
int ngmessage_string(const struct ngmessage *message, const char *key, const char **octets,
                     size_t *length);
/*
 * The same of one that is a word or name: no NUL octet, at most max long. "" when there is none.
 */
int ngmessage_text(const struct ngmessage *message, const char *key, size_t max, const char **text);
/* A number, or a string of digits. 0, ERR_NOT_FOUND or ERR_INVALID. */
int ngmessage_number(const struct ngmessage *message, const char *key, long long *value);
/*
 * The word at a position of a list, in small letters and with hyphens for blanks; a string is a
 * list of the words between its blanks, and what is neither is a list of one. False behind the last
 * one; a word that is none, or too long, is "".
 */
bool ngmessage_word(const struct ngmessage *message, const char *key, size_t position,
                    char word[NG_WORD_SIZE]);
/* Is it one of the list's words? */
bool ngmessage_has_word(const struct ngmessage *message, const char *key, const char *word);

/*
 * The reply to message, on the heap and terminated; NULL without memory. What would be longer than
 * NG_REPLY_MAX becomes an error that says so. Consumes dict, which may be NULL.
 */
char *ngmessage_reply(const struct ngmessage *message, struct json_t *dict, size_t *length);

#endif
