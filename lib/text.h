/*
 * Text of others on its way to a terminal or a log: a guest, or a sentry that has been taken over,
 * must not be able to move the cursor, forge lines or feed the terminal's reader.
 */
#ifndef LIB_TEXT_H
#define LIB_TEXT_H

/*
 * Length in bytes of the printable character at s: well-formed UTF-8 (RFC 3629) that is no control
 * character (C0, DEL, C1).  0: the byte at s is none, or the end.
 */
int text_char_len(const char *s);

/* Replaces every byte of s that is part of no printable character by '?'; those in keep stay
 * ("\n\t", say). */
void text_scrub(char *s, const char *keep);

#endif
