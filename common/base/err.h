/*
 * The one list of results. Functions that can fail return 0 (or a count) when
 * they succeed and one of these, negative, when they do not.
 */
#ifndef COMMON_BASE_ERR_H
#define COMMON_BASE_ERR_H

#define ERR_LIST(X)                                                                                \
    X(NOMEM, 1, "out of memory")                                                                   \
    X(INVALID, 2, "not valid")                                                                     \
    X(TRUNCATED, 3, "ends too early")                                                              \
    X(TOO_LONG, 4, "too long")                                                                     \
    X(RANGE, 5, "out of range")                                                                    \
    X(EXISTS, 6, "exists already")                                                                 \
    X(NOT_FOUND, 7, "not found")                                                                   \
    X(FULL, 8, "no room left")                                                                     \
    X(UNSUPPORTED, 9, "not supported")                                                             \
    X(PROTOCOL, 10, "breaks the protocol")                                                         \
    X(FORBIDDEN, 11, "not allowed")                                                                \
    X(SYSTEM, 12, "system call failed")                                                            \
    X(CRYPTO, 13, "cryptographic operation failed")                                                \
    X(CLOSED, 14, "closed")                                                                        \
    X(AGAIN, 15, "try again later")                                                                \
    X(CONFIG, 16, "configuration is wrong")                                                        \
    X(TOO_OLD, 17, "too old")

enum err {
#define X(name, number, text) ERR_##name = -(number),
    ERR_LIST(X)
#undef X
};

/* Returns a constant text for a result code; "unknown error" for others. */
const char *err_text(int code);

#endif
