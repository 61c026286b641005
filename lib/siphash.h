/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash of short inputs that who does not know
 * the key cannot predict: sequence numbers (RFC 6528), ports, cookies, hash tables.
 */
#ifndef LIB_SIPHASH_H
#define LIB_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash(const uint8_t key[16], const void *data, size_t n);

#endif
