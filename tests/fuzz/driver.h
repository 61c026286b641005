/*
 * Fuzz targets define LLVMFuzzerTestOneInput and include this: the same source
 * then runs under libFuzzer (clang -fsanitize=fuzzer -DLIBFUZZER) and on its
 * own, as `make check` does it:
 *
 *	X_fuzz [-n runs] [-s seed] [-t seconds] corpus-file-or-folder...
 *
 * mutates the corpus files at random (the same ones for the same seed).  A
 * crash or a run of more than FUZZ_HANG seconds ends the process by a signal;
 * the input is then left in ./crash-<seed>-<run>.
 */
#ifndef TESTS_FUZZ_DRIVER_H
#define TESTS_FUZZ_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What has to hold whatever the input is: else the run ends as a crash. */
static inline void must(bool cond, const char *what)
{
	if (!cond) {
		fprintf(stderr, "fuzz: %s\n", what);
		abort();
	}
}

/*
 * The input as a source of values: 0 and short pieces once it is used up, so
 * that every input means something.
 */
struct fuzz_in {
	const uint8_t *p;
	size_t n;
};

static inline size_t fuzz_take(struct fuzz_in *in, void *to, size_t n)
{
	size_t got = n < in->n ? n : in->n;

	memset(to, 0, n);
	if (got)
		memcpy(to, in->p, got);
	in->p += got;
	in->n -= got;
	return got;
}

#define FUZZ_NUMBER(bits)                                                                          \
	static inline uint##bits##_t fuzz_u##bits(struct fuzz_in *in)                              \
	{                                                                                          \
		uint##bits##_t v;                                                                  \
		fuzz_take(in, &v, sizeof(v));                                                      \
		return v;                                                                          \
	}
FUZZ_NUMBER(8)
FUZZ_NUMBER(16)
FUZZ_NUMBER(32)
FUZZ_NUMBER(64)

#ifndef LIBFUZZER

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FUZZ_HANG 10
#define FUZZ_MAX_INPUT (1u << 20)

struct fuzz_input {
	uint8_t *data;
	size_t size;
};

/* What the format of the target likes to trip over, NULL-terminated. */
extern const char *const fuzz_tokens[];
/*
 * Mutates by the structure of the format, if the target can: in's bytes to a
 * new malloc'ed buffer.  Returns false to have bytes mutated instead.
 */
static int fuzz_mutate_structure(const struct fuzz_input *in, struct fuzz_input *out);

#ifdef FUZZ_BYTES_ONLY /* defined by targets that have nothing to say about structure */
static int fuzz_mutate_structure(const struct fuzz_input *in, struct fuzz_input *out)
{
	(void)in;
	(void)out;
	return 0;
}
#endif

static struct fuzz_input fuzz_corpus[1024];
static size_t fuzz_ncorpus;
static struct fuzz_input fuzz_now;
static unsigned long fuzz_seed = 1, fuzz_run;
static uint64_t fuzz_state;

/* xorshift64*: the same numbers on every machine. */
static uint64_t fuzz_random(void)
{
	fuzz_state ^= fuzz_state >> 12;
	fuzz_state ^= fuzz_state << 25;
	fuzz_state ^= fuzz_state >> 27;
	return fuzz_state * 2685821657736338717ull;
}

static size_t fuzz_below(size_t n)
{
	return n ? fuzz_random() % n : 0;
}

static void fuzz_died(int sig)
{
	char name[64];

	snprintf(name, sizeof(name), "crash-%lu-%lu", fuzz_seed, fuzz_run);
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd >= 0) {
		(void)!write(fd, fuzz_now.data, fuzz_now.size);
		close(fd);
	}
	dprintf(2, "signal %d in run %lu with seed %lu: input in %s\n", sig, fuzz_run, fuzz_seed,
		name);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void fuzz_load(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st) < 0) {
		perror(path);
		exit(2);
	}
	if (S_ISDIR(st.st_mode)) {
		struct dirent **list;
		int n = scandir(path, &list, NULL, alphasort);

		close(fd);
		for (int i = 0; i < n; i++) {
			char file[4096];

			snprintf(file, sizeof(file), "%s/%s", path, list[i]->d_name);
			if (list[i]->d_name[0] != '.')
				fuzz_load(file);
			free(list[i]);
		}
		free(list);
		return;
	}
	if (fuzz_ncorpus < sizeof(fuzz_corpus) / sizeof(fuzz_corpus[0]) &&
		(size_t)st.st_size <= FUZZ_MAX_INPUT) {
		struct fuzz_input *in = &fuzz_corpus[fuzz_ncorpus++];

		in->data = malloc((size_t)st.st_size + 1);
		in->size = (size_t)read(fd, in->data, (size_t)st.st_size);
	}
	close(fd);
}

/* Replaces del bytes at at by the ins bytes at from. */
static void fuzz_splice(struct fuzz_input *in, size_t at, size_t del, const void *from, size_t ins)
{
	uint8_t *data;

	if (in->size - del + ins > FUZZ_MAX_INPUT)
		return;
	data = malloc(in->size - del + ins + 1);
	memcpy(data, in->data, at);
	memcpy(data + at, from, ins);
	memcpy(data + at + ins, in->data + at + del, in->size - at - del);
	free(in->data);
	in->data = data;
	in->size = in->size - del + ins;
}

static void fuzz_mutate_bytes(struct fuzz_input *in)
{
	size_t at = fuzz_below(in->size + 1), left = in->size - at;
	const struct fuzz_input *other = &fuzz_corpus[fuzz_below(fuzz_ncorpus)];
	size_t n = fuzz_below(left < 32 ? left + 1 : 32), ntokens = 0, from;
	uint8_t byte = (uint8_t)fuzz_random();

	switch (fuzz_below(7)) {
	case 0:
		if (left)
			in->data[at] ^= (uint8_t)(1u << fuzz_below(8));
		break;
	case 1:
		if (left)
			in->data[at] = byte;
		break;
	case 2:
		fuzz_splice(in, at, n, "", 0);
		break;
	case 3:
		while (fuzz_tokens[ntokens])
			ntokens++;
		const char *token = fuzz_tokens[fuzz_below(ntokens)];
		fuzz_splice(in, at, n, token, strlen(token));
		break;
	case 4: /* a piece of another file */
		from = fuzz_below(other->size);
		fuzz_splice(in, at, n, other->data + from, fuzz_below(other->size - from + 1));
		break;
	case 5: /* a piece of this one, again */
		if (n) {
			uint8_t piece[32];

			memcpy(piece, in->data + at, n);
			fuzz_splice(in, fuzz_below(in->size + 1), 0, piece, n);
		}
		break;
	case 6: /* the end is missing, rarely */
		if (fuzz_below(8) == 0)
			in->size = at;
		break;
	}
}

static void fuzz_one(void)
{
	const struct fuzz_input *base = &fuzz_corpus[fuzz_below(fuzz_ncorpus)];
	size_t rounds = 1 + fuzz_below(6);

	free(fuzz_now.data);
	if (fuzz_random() % 2 == 0 || !fuzz_mutate_structure(base, &fuzz_now)) {
		fuzz_now.data = malloc(base->size + 1);
		memcpy(fuzz_now.data, base->data, base->size);
		fuzz_now.size = base->size;
		while (rounds--)
			fuzz_mutate_bytes(&fuzz_now);
	}
	alarm(FUZZ_HANG);
	LLVMFuzzerTestOneInput(fuzz_now.data, fuzz_now.size);
}

int main(int argc, char **argv)
{
	unsigned long runs = 10000, seconds = 0;
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM};
	int opt;

	while ((opt = getopt(argc, argv, "n:s:t:")) > 0) {
		if (opt == 'n')
			runs = strtoul(optarg, NULL, 0);
		else if (opt == 's')
			fuzz_seed = strtoul(optarg, NULL, 0);
		else if (opt == 't')
			seconds = strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	for (; optind < argc; optind++)
		fuzz_load(argv[optind]);
	if (!fuzz_ncorpus) {
		fprintf(stderr, "usage: %s [-n runs] [-s seed] [-t seconds] corpus...\n", argv[0]);
		return 2;
	}
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], fuzz_died);
	fuzz_state = fuzz_seed * 0x9e3779b97f4a7c15ull + 1;
	for (size_t i = 0; i < fuzz_ncorpus; i++)
		LLVMFuzzerTestOneInput(fuzz_corpus[i].data, fuzz_corpus[i].size);
	time_t end = time(NULL) + (time_t)seconds;
	for (fuzz_run = 0; seconds ? time(NULL) < end : fuzz_run < runs; fuzz_run++)
		fuzz_one();
	alarm(0);
	printf("%lu runs over %zu corpus files, seed %lu\n", fuzz_run, fuzz_ncorpus, fuzz_seed);
	return 0;
}

#endif
#endif
