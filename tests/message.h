/* Comparison of a message by its key parts (file, line, key, value, limit), so that a test does not depend
 * on its wording. In a pattern `~` separates parts, for example "c.yaml:2: epochs: ~ 0 ~ 1 ~ 1000000". */
#ifndef LOCKSTEP_TEST_MESSAGE_H
#define LOCKSTEP_TEST_MESSAGE_H

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Whether a digit of the part's end continues a number of the text: "1" is not a part of "1000". */
static inline bool message_splits_number(char inner, char outer) {
  return isdigit((unsigned char)inner) && isdigit((unsigned char)outer);
}

/* The end of a part of m bytes in a line of n bytes; NULL: the line does not contain it. */
static inline const char *message_find(const char *line, size_t n, const char *part, size_t m) {
  for (size_t i = 0; i + m <= n; i++) {
    if (memcmp(line + i, part, m) != 0) continue;
    if (m > 0 && i > 0 && message_splits_number(part[0], line[i - 1])) continue;
    if (m > 0 && i + m < n && message_splits_number(part[m - 1], line[i + m])) continue;
    return line + i + m;
  }
  return NULL;
}

/* Whether a line of n bytes contains the first part of a pattern of m bytes and, after it, all others in
 * any order. */
static inline bool message_line_matches(const char *line, size_t n, const char *pattern, size_t m) {
  bool is_first = true;
  for (const char *next = pattern; next < pattern + m; is_first = false) {
    const char *const limit = pattern + m;
    const char *const separator = memchr(next, '~', (size_t)(limit - next));
    const char *part = next;
    const char *end = separator ? separator : limit;
    next = separator ? separator + 1 : limit;
    while (part < end && *part == ' ') part++;
    while (part < end && end[-1] == ' ') end--;
    const char *const found = message_find(line, n, part, (size_t)(end - part));
    if (!found) return false;
    if (is_first) n -= (size_t)(found - line), line = found;
  }
  return true;
}

/* Whether the message has exactly the lines of the pattern, each with all parts of its own. A line begins
 * with its first part, unless that is empty. */
static inline bool message_matches(const char *message, const char *pattern) {
  for (;;) {
    const size_t n = strcspn(message, "\n");
    const size_t m = strcspn(pattern, "\n");
    size_t first = strcspn(pattern, "~\n");
    while (first > 0 && pattern[first - 1] == ' ') first--;
    if (first > n || memcmp(message, pattern, first) != 0) return false;
    if (!message_line_matches(message, n, pattern, m)) return false;
    if (message[n] != pattern[m]) return false;
    if (message[n] == '\0') return true;
    message += n + 1;
    pattern += m + 1;
  }
}

/* Whether one line of the message has all parts of the pattern. */
static inline bool message_has(const char *message, const char *pattern) {
  for (;;) {
    const size_t n = strcspn(message, "\n");
    if (message_line_matches(message, n, pattern, strlen(pattern))) return true;
    if (message[n] == '\0') return false;
    message += n + 1;
  }
}

#endif
