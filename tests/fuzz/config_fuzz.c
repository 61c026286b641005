/*
 * config.json and process.json: whatever the bytes, no crash and no hang; a
 * refusal has a message that names the document and is clean UTF-8 (it goes
 * into a JSON log); what is accepted can be handed to the kernel.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runsc-cli/boot/to_kernel.h"
#include "runsc-cli/spec/spec.h"
#include "tests/fuzz/driver.h"

static void check_refusal(int ret, const struct err *e, const char *doc)
{
	must(ret == -EINVAL || ret == -EFBIG, "refused with an odd errno");
	must(e && !strncmp(e->msg, doc, strlen(doc)), "refused without a message");
	must(strlen(e->msg) > strlen(doc) + 4, "refused without a reason");
	json_t *j = json_string(e->msg);
	must(j != NULL, "the message is not UTF-8");
	json_decref(j);
	for (const char *p = e->msg; *p; p++)
		must((unsigned char)*p >= ' ', "the message has control characters");
}

static void check_accepted(const struct spec *s)
{
	static const struct inherited none = {.umask = -1};
	struct container_opts o = {.id = "x", .inherited = &none, .overlay = BOOT_OVERLAY_ALL};
	struct kcontainer_args a;
	unsigned trees = 1;

	must(s->process.args && s->process.args[0] && s->process.env, "no arguments");
	must(s->process.cwd[0] == '/' && s->root_path[0], "no directories");
	must(s->masked_paths && s->readonly_paths, "missing lists");
	for (size_t i = 0; i < s->nmounts; i++) {
		must(s->mounts[i].destination[0] == '/' && s->mounts[i].type && s->mounts[i].data,
			"a mount lacks something");
		if (s->mounts[i].kind == SPEC_MOUNT_BIND)
			must(s->mounts[i].source && s->mounts[i].tree == trees++, "tree numbers");
	}
	must(trees == s->ntrees, "number of trees");
	must(to_kernel_container(s, &o, &a, NULL) == 0, "not for the kernel");
	must(a.nmounts >= s->nmounts + 1, "mounts lost");
	to_kernel_container_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spec *s;
	struct spec_process_doc *p;
	struct err *e = NULL;
	int ret = spec_parse_string((const char *)data, size, "config.json", &s, &e);

	if (ret < 0)
		check_refusal(ret, e, "config.json: ");
	else
		check_accepted(s);
	spec_free(s);
	err_free(e);

	e = NULL;
	ret = spec_process_parse((const char *)data, size, "process.json", &p, &e);
	if (ret < 0)
		check_refusal(ret, e, "process.json: ");
	spec_process_free(p);
	err_free(e);
	return 0;
}

#ifndef LIBFUZZER

const char *const fuzz_tokens[] = {"{", "}", "[", "]", "\"", ":", ",", "null", "true", "0", "-1",
	"1e999", "4294967296", "9223372036854775808", "18446744073709551615",
	"99999999999999999999", "\\u0000", "\\ud800", "\xff", "\"\"", "[]", "{}", "[[[[",
	"{\"a\":", "RLIMIT_FOO", "bind", "size=1e", "mode=", "/", "..", "1.5", NULL};

static const char *const values[] = {"null", "true", "0", "-1", "1", "65536", "4294967295",
	"4294967296", "9223372036854775807", "-9223372036854775808", "1.5", "\"\"", "\"/\"",
	"\"x\"", "\"9223372036854775808\"", "[]", "{}", "[null]", "[\"a\"]", "[1]", "{\"\":1}",
	"{\"a\":\"b\"}"};

/* A random container at some depth; NULL now and then. */
static json_t *random_node(json_t *at)
{
	while (at) {
		size_t n = json_is_object(at) ? json_object_size(at) : json_array_size(at);
		json_t *next = NULL;

		if (n == 0 || fuzz_below(4) == 0)
			return at;
		size_t i = fuzz_below(n);
		if (json_is_array(at)) {
			next = json_array_get(at, i);
		} else {
			void *it = json_object_iter(at);

			while (i--)
				it = json_object_iter_next(at, it);
			next = json_object_iter_value(it);
		}
		if (!json_is_object(next) && !json_is_array(next))
			return at;
		at = next;
	}
	return NULL;
}

static void change_node(json_t *at)
{
	size_t n = json_is_object(at) ? json_object_size(at) : json_array_size(at);
	size_t i = fuzz_below(n), what = fuzz_below(4);
	json_t *v = json_loads(values[fuzz_below(sizeof(values) / sizeof(values[0]))],
		JSON_DECODE_ANY, NULL);

	if (json_is_array(at) && n) {
		if (what == 0)
			json_array_remove(at, i);
		else if (what == 1)
			json_array_append(at, json_array_get(at, i));
		else
			json_array_set(at, i, v);
	} else if (json_is_array(at)) {
		json_array_append(at, v);
	} else if (n) {
		void *it = json_object_iter(at);

		while (i--)
			it = json_object_iter_next(at, it);
		if (what == 0)
			json_object_del(at, json_object_iter_key(it));
		else if (what == 1)
			json_object_set(at, "unknown", v);
		else
			json_object_iter_set(at, it, v);
	}
	json_decref(v);
}

static int fuzz_mutate_structure(const struct fuzz_input *in, struct fuzz_input *out)
{
	json_t *j = json_loadb((const char *)in->data, in->size, 0, NULL);

	for (size_t rounds = 1 + fuzz_below(3); j && rounds; rounds--)
		change_node(random_node(j));
	char *text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	if (!text)
		return 0;
	out->data = (uint8_t *)text;
	out->size = strlen(text);
	return 1;
}

#endif
