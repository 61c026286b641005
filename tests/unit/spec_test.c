/*
 * config.json: what is accepted, and for every field what is refused: each
 * refusal names the path and the reason.
 *
 * OBJS: lib runsc-cli
 */
#include "runsc-cli/spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "lib/log.h"
#include "tests/unit/test.h"

static const char base[] =
	"{'ociVersion':'1.0.2','hostname':'h','domainname':'d',"
	"'process':{'terminal':true,'consoleSize':{'height':24,'width':80},"
	" 'user':{'uid':1,'gid':2,'umask':18,'additionalGids':[3,4],'username':'x'},"
	" 'args':['sh','-c','x'],'env':['A=b','C='],'cwd':'/w',"
	" 'capabilities':{'bounding':['CAP_CHOWN','CAP_KILL'],'effective':['CAP_CHOWN'],"
	"  "
	"'inheritable':['CAP_CHOWN'],'permitted':['CAP_CHOWN','CAP_KILL'],'ambient':['CAP_CHOWN']},"
	" 'rlimits':[{'type':'RLIMIT_NOFILE','soft':10,'hard':20},"
	"  {'type':'RLIMIT_CORE','soft':0,'hard':18446744073709551615}],"
	" 'noNewPrivileges':true,'oomScoreAdj':-5,'apparmorProfile':'a','selinuxLabel':'s'},"
	"'root':{'path':'rootfs','readonly':true},"
	"'mounts':[{'destination':'/proc','type':'proc','source':'proc'},"
	" {'destination':'/dev','type':'tmpfs','source':'tmpfs','options':['nosuid','strictatime',"
	"  'mode=755','size=65536k']},"
	" {'destination':'/data','type':'bind','source':'/srv','options':['rbind','ro','nodev',"
	"  'rprivate','rro']},"
	" {'destination':'/f','source':'f','options':['bind','noexec','slave']},"
	" {'destination':'/t','type':'tmpfs','source':'t','options':['tmpcopyup','rw']}],"
	"'hooks':{'prestart':[{'path':'/p','args':['p','1'],'env':['X=y'],'timeout':3}],"
	" 'createRuntime':[{'path':'/cr'}],'createContainer':[{'path':'/cc'}],"
	" 'startContainer':[{'path':'/sc'}],'poststart':[{'path':'/ps'}],"
	" 'poststop':[{'path':'/1'},{'path':'/2'}]},"
	"'annotations':{'a.b':'c','e':''},"
	"'linux':{'namespaces':[{'type':'pid'},{'type':'network','path':'/run/netns/x'},"
	"  {'type':'user'}],"
	" 'uidMappings':[{'containerID':0,'hostID':1000,'size':10}],"
	" 'gidMappings':[{'containerID':0,'hostID':1000,'size':10}],"
	" 'maskedPaths':['/proc/kcore'],'readonlyPaths':['/proc/sys'],"
	" 'sysctl':{'net.ipv4.ip_forward':'1'},'cgroupsPath':'/c/x','rootfsPropagation':'rslave',"
	" 'devices':[{'path':'/dev/fuse','type':'c','major':10,'minor':229,'fileMode':438,"
	"  'uid':0,'gid':0}],"
	" 'resources':{'devices':[{'allow':false,'access':'rwm'}],"
	"  'memory':{'limit':1048576,'swap':-1,'swappiness':60,'disableOOMKiller':false},"
	"  'cpu':{'shares':1024,'quota':50000,'period':100000,'cpus':'0-1'},'pids':{'limit':100},"
	"  'blockIO':{'weight':10,'weightDevice':[{'major':8,'minor':0,'weight':500}]},"
	"  'hugepageLimits':[{'pageSize':'2MB','limit':9223372036854775808}],"
	"  'network':{'classID':1,'priorities':[{'name':'eth0','priority':500}]},"
	"  'rdma':{},'unified':{'memory.high':'1'}},"
	" 'seccomp':{'defaultAction':'SCMP_ACT_ERRNO','defaultErrnoRet':1,"
	"  'architectures':['SCMP_ARCH_X86_64'],'flags':['SECCOMP_FILTER_FLAG_LOG'],"
	"  'syscalls':[{'names':['read'],'action':'SCMP_ACT_ALLOW','errnoRet':1,"
	"   'args':[{'index':0,'value':1,'valueTwo':2,'op':'SCMP_CMP_EQ'}]}]},"
	" 'personality':{'domain':'LINUX'},'mountLabel':'m'}}";

static json_t *base_json(void)
{
	char *s = strdup(base);

	for (char *p = s; *p; p++)
		if (*p == '\'')
			*p = '"';
	/* The loader takes them, but jansson alone does not. */
	for (char *p;
		(p = strstr(s, "18446744073709551615")) || (p = strstr(s, "9223372036854775808"));)
		memset(p + 10, ' ', strspn(p, "0123456789") - 10);
	json_t *j = json_loads(s, JSON_DECODE_ANY, NULL);
	free(s);
	CHECK(j);
	return j;
}

/* The node that holds the last part of path; *last: that part. */
static json_t *walk(json_t *j, const char *path, char last[64])
{
	while (1) {
		size_t n = *path == '[' ? strcspn(path, "]") + 1 : strcspn(path, ".[");

		memcpy(last, path, n);
		last[n] = '\0';
		path += n;
		if (*path == '.')
			path++;
		if (!*path)
			return j;
		j = last[0] == '[' ? json_array_get(j, strtoul(last + 1, NULL, 10))
				   : json_object_get(j, last);
		if (!j)
			printf("no %s before %s\n", last, path);
		CHECK(j);
	}
}

/* Sets path to value (JSON; NULL: removes it) in the base document; returns its text. */
static char *changed(const char *path, const char *value)
{
	json_t *doc = base_json();
	char last[64];
	json_t *at = walk(doc, path, last);
	json_t *v = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;

	CHECK(!value || v);
	if (last[0] == '[')
		CHECK(json_array_set_new(at, strtoul(last + 1, NULL, 10), v) == 0);
	else if (v)
		json_object_set_new(at, last, v);
	else
		json_object_del(at, last);
	char *text = json_dumps(doc, 0);
	json_decref(doc);
	return text;
}

static int parse(const char *text, struct spec **s, struct err **e)
{
	return spec_parse_string(text, strlen(text), "config.json", s, e);
}

static void refused_at(const char *path, const char *value, const char *where, const char *why)
{
	struct spec *s;
	struct err *e = NULL;
	char want[256];
	char *text = changed(path, value);

	snprintf(want, sizeof(want), "config.json: %s: ", where);
	int ret = parse(text, &s, &e);
	if (ret != -EINVAL || !e || strncmp(e->msg, want, strlen(want)) || !strstr(e->msg, why))
		printf("%s = %s: %d, %s; not %s...%s\n", path, value ? value : "(absent)", ret,
			e ? e->msg : "accepted", want, why);
	CHECK_EQ(ret, -EINVAL);
	CHECK(e && !strncmp(e->msg, want, strlen(want)) && strstr(e->msg, why));
	CHECK(!s);
	err_free(e);
	free(text);
}

static void refused(const char *path, const char *value, const char *why)
{
	refused_at(path, value, path, why);
}

static void accepted(const char *path, const char *value)
{
	struct spec *s;
	struct err *e = NULL;
	char *text = changed(path, value);
	int ret = parse(text, &s, &e);

	if (ret < 0)
		printf("%s = %s: %s\n", path, value ? value : "(absent)", e->msg);
	CHECK_EQ(ret, 0);
	spec_free(s);
	free(text);
}

static struct spec *parse_base(void)
{
	struct spec *s;
	struct err *e = NULL;
	char *text = strdup(base);

	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	int ret = parse(text, &s, &e);
	if (ret < 0)
		printf("%s\n", e->msg);
	CHECK_EQ(ret, 0);
	CHECK(!strcmp(s->text, text));
	free(text);
	return s;
}

TEST(process)
{
	struct spec *s = parse_base();
	const struct spec_process *p = &s->process;

	CHECK(p->terminal && p->rows == 24 && p->cols == 80);
	CHECK(p->uid == 1 && p->gid == 2 && p->umask == 18);
	CHECK(p->ngroups == 2 && p->groups[0] == 3 && p->groups[1] == 4);
	CHECK(!strcmp(p->args[0], "sh") && !strcmp(p->args[2], "x") && !p->args[3]);
	CHECK(!strcmp(p->env[1], "C=") && !p->env[2]);
	CHECK(!strcmp(p->cwd, "/w"));
	CHECK_EQ(p->caps[SPEC_CAP_BOUNDING], 0x21);
	CHECK_EQ(p->caps[SPEC_CAP_EFFECTIVE], 1);
	CHECK_EQ(p->caps[SPEC_CAP_PERMITTED], 0x21);
	CHECK_EQ(p->caps[SPEC_CAP_AMBIENT], 1);
	CHECK_EQ(p->nrlimits, 2);
	CHECK_EQ(p->rlimits[0].resource, RLIMIT_NOFILE);
	CHECK(p->rlimits[0].soft == 10 && p->rlimits[0].hard == 20);
	CHECK(p->rlimits[1].hard == RLIM_INFINITY);
	CHECK(p->no_new_privs && p->has_oom_score_adj && p->oom_score_adj == -5);
	CHECK(!strcmp(p->apparmor_profile, "a"));
	spec_free(s);
}

TEST(mounts)
{
	struct spec *s = parse_base();
	const struct spec_mount *m = s->mounts;

	CHECK(!strcmp(s->root_path, "rootfs") && s->root_readonly);
	CHECK_EQ(s->nmounts, 5);
	CHECK_EQ(s->ntrees, 3);
	CHECK(!strcmp(m[0].type, "proc") && m[0].flags == 0 && m[0].tree == 0 && !*m[0].data);
	CHECK_EQ(m[1].flags, MS_NOSUID | MS_STRICTATIME);
	CHECK(!strcmp(m[1].data, "mode=755,size=65536k"));
	CHECK(m[2].kind == SPEC_MOUNT_BIND && m[2].recursive && m[2].tree == 1);
	CHECK_EQ(m[2].flags, MS_RDONLY | MS_NODEV);
	CHECK_EQ(m[2].rec_set, MS_RDONLY);
	CHECK(m[2].propagation == SPEC_PROP_PRIVATE && m[2].propagation_rec);
	CHECK(m[3].kind == SPEC_MOUNT_BIND && !m[3].recursive && m[3].tree == 2);
	CHECK(!strcmp(m[3].type, "bind") && m[3].propagation == SPEC_PROP_SLAVE);
	CHECK(m[4].tmpcopyup && m[4].kind == SPEC_MOUNT_SENTRY);
	spec_free(s);
}

TEST(linux_section)
{
	struct spec *s = parse_base();

	CHECK_EQ(s->nnamespaces, 3);
	CHECK(!spec_find_namespace(s, CLONE_NEWPID)->path);
	CHECK(!strcmp(spec_find_namespace(s, CLONE_NEWNET)->path, "/run/netns/x"));
	CHECK(!spec_find_namespace(s, CLONE_NEWIPC));
	CHECK(s->nuid_mappings == 1 && s->uid_mappings[0].host_id == 1000);
	CHECK(!strcmp(s->masked_paths[0], "/proc/kcore") && !s->masked_paths[1]);
	CHECK(s->nsysctl == 1 && !strcmp(s->sysctl[0].key, "net.ipv4.ip_forward"));
	CHECK(!strcmp(s->cgroups_path, "/c/x"));
	CHECK(s->rootfs_propagation == SPEC_PROP_SLAVE && s->rootfs_propagation_rec);
	CHECK(s->ndevices == 1 && s->devices[0].minor == 229 && s->devices[0].mode == 0666);
	CHECK(s->resources && s->seccomp && s->memory_limit == 1048576);
	spec_free(s);
}

TEST(hooks_and_annotations)
{
	struct spec *s = parse_base();
	const struct spec_hook *h = s->hooks[SPEC_HOOK_PRESTART];

	CHECK(!strcmp(h->path, "/p") && !strcmp(h->args[1], "1") && h->timeout == 3);
	CHECK(!strcmp(h->env[0], "X=y"));
	for (int k = 0; k < SPEC_HOOK_KINDS; k++)
		CHECK_EQ(s->nhooks[k], k == SPEC_HOOK_POSTSTOP ? 2 : 1);
	CHECK(!s->hooks[SPEC_HOOK_POSTSTART][0].args[0]);
	CHECK_EQ(s->nannotations, 2);
	CHECK(!strcmp(s->annotations[0].key, "a.b") && !strcmp(s->annotations[0].value, "c"));
	spec_free(s);
}

/* A value of each JSON type, to be refused where another is due. */
static void wrong_types(const char *path, const char *right)
{
	static const char *const values[] = {"{}", "[]", "\"s\"", "7", "true", "1.5"};
	static const char *const kinds[] = {"object", "array", "string", "integer", "boolean", ""};

	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		if (strcmp(kinds[i], right))
			refused(path, values[i], "must be a");
	/* null is the same as absent, except in lists. */
	if (path[strlen(path) - 1] == ']')
		refused(path, "null", "must be a");
}

struct typed {
	const char *path, *right;
};

static void wrong_types_of(const struct typed *cases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		wrong_types(cases[i].path, cases[i].right);
}

TEST(wrong_type_in_root_and_process)
{
	static const struct typed cases[] = {
		{"ociVersion", "string"},
		{"hostname", "string"},
		{"domainname", "string"},
		{"annotations", "object"},
		{"root", "object"},
		{"root.path", "string"},
		{"root.readonly", "boolean"},
		{"process", "object"},
		{"process.terminal", "boolean"},
		{"process.consoleSize", "object"},
		{"process.consoleSize.height", "integer"},
		{"process.consoleSize.width", "integer"},
		{"process.user", "object"},
		{"process.user.uid", "integer"},
		{"process.user.gid", "integer"},
		{"process.user.umask", "integer"},
		{"process.user.additionalGids", "array"},
		{"process.user.additionalGids[1]", "integer"},
		{"process.args", "array"},
		{"process.args[0]", "string"},
		{"process.env", "array"},
		{"process.env[1]", "string"},
		{"process.cwd", "string"},
		{"process.capabilities", "object"},
		{"process.capabilities.bounding", "array"},
		{"process.capabilities.bounding[0]", "string"},
		{"process.capabilities.effective", "array"},
		{"process.capabilities.inheritable", "array"},
		{"process.capabilities.permitted", "array"},
		{"process.capabilities.ambient", "array"},
		{"process.rlimits", "array"},
		{"process.rlimits[1]", "object"},
		{"process.rlimits[1].type", "string"},
		{"process.rlimits[1].soft", "integer"},
		{"process.rlimits[1].hard", "integer"},
		{"process.noNewPrivileges", "boolean"},
		{"process.oomScoreAdj", "integer"},
		{"process.apparmorProfile", "string"},
		{"process.selinuxLabel", "string"},
		{"process.scheduler", "object"},
		{"process.ioPriority", "object"},
	};

	wrong_types_of(cases, ARRAY_LEN(cases));
}

TEST(wrong_type_in_mounts_and_hooks)
{
	static const struct typed cases[] = {
		{"mounts", "array"},
		{"mounts[2]", "object"},
		{"mounts[2].destination", "string"},
		{"mounts[2].type", "string"},
		{"mounts[2].source", "string"},
		{"mounts[2].options", "array"},
		{"mounts[2].options[1]", "string"},
		{"hooks", "object"},
		{"hooks.prestart", "array"},
		{"hooks.prestart[0]", "object"},
		{"hooks.prestart[0].path", "string"},
		{"hooks.prestart[0].args", "array"},
		{"hooks.prestart[0].args[1]", "string"},
		{"hooks.prestart[0].env", "array"},
		{"hooks.prestart[0].timeout", "integer"},
		{"hooks.createRuntime", "array"},
		{"hooks.createContainer", "array"},
		{"hooks.startContainer", "array"},
		{"hooks.poststart", "array"},
		{"hooks.poststop[1]", "object"},
	};

	wrong_types_of(cases, ARRAY_LEN(cases));
}

TEST(wrong_type_in_linux)
{
	static const struct typed cases[] = {
		{"linux", "object"},
		{"linux.namespaces", "array"},
		{"linux.namespaces[1]", "object"},
		{"linux.namespaces[1].type", "string"},
		{"linux.namespaces[1].path", "string"},
		{"linux.uidMappings", "array"},
		{"linux.uidMappings[0]", "object"},
		{"linux.uidMappings[0].containerID", "integer"},
		{"linux.uidMappings[0].hostID", "integer"},
		{"linux.uidMappings[0].size", "integer"},
		{"linux.gidMappings", "array"},
		{"linux.maskedPaths", "array"},
		{"linux.maskedPaths[0]", "string"},
		{"linux.readonlyPaths", "array"},
		{"linux.readonlyPaths[0]", "string"},
		{"linux.sysctl", "object"},
		{"linux.cgroupsPath", "string"},
		{"linux.rootfsPropagation", "string"},
		{"linux.devices", "array"},
		{"linux.devices[0]", "object"},
		{"linux.devices[0].path", "string"},
		{"linux.devices[0].type", "string"},
		{"linux.devices[0].major", "integer"},
		{"linux.devices[0].minor", "integer"},
		{"linux.devices[0].fileMode", "integer"},
		{"linux.devices[0].uid", "integer"},
		{"linux.devices[0].gid", "integer"},
	};

	wrong_types_of(cases, ARRAY_LEN(cases));
}

TEST(wrong_type_in_resources_and_seccomp)
{
	static const struct typed cases[] = {
		{"linux.resources", "object"},
		{"linux.resources.devices", "array"},
		{"linux.resources.devices[0].allow", "boolean"},
		{"linux.resources.devices[0].access", "string"},
		{"linux.resources.memory", "object"},
		{"linux.resources.memory.limit", "integer"},
		{"linux.resources.memory.swap", "integer"},
		{"linux.resources.memory.swappiness", "integer"},
		{"linux.resources.memory.disableOOMKiller", "boolean"},
		{"linux.resources.cpu", "object"},
		{"linux.resources.cpu.shares", "integer"},
		{"linux.resources.cpu.quota", "integer"},
		{"linux.resources.cpu.period", "integer"},
		{"linux.resources.cpu.cpus", "string"},
		{"linux.resources.pids", "object"},
		{"linux.resources.pids.limit", "integer"},
		{"linux.resources.blockIO", "object"},
		{"linux.resources.blockIO.weightDevice[0].weight", "integer"},
		{"linux.resources.hugepageLimits[0].limit", "integer"},
		{"linux.resources.network.priorities[0].name", "string"},
		{"linux.resources.unified", "object"},
		{"linux.seccomp", "object"},
		{"linux.seccomp.defaultAction", "string"},
		{"linux.seccomp.architectures", "array"},
		{"linux.seccomp.syscalls", "array"},
		{"linux.seccomp.syscalls[0].names", "array"},
		{"linux.seccomp.syscalls[0].args[0].index", "integer"},
		{"linux.personality", "object"},
		{"linux.mountLabel", "string"},
	};

	wrong_types_of(cases, ARRAY_LEN(cases));
}

TEST(wrong_type_in_maps)
{
	refused_at("annotations", "{\"x\":1}", "annotations.x", "must be a string");
	refused_at("linux.sysctl", "{\"x\":1}", "linux.sysctl.x", "must be a string");
	refused_at("linux.resources.unified", "{\"a.b\":1}", "linux.resources.unified.a.b",
		"must be a string");
}

struct valued {
	const char *path, *value, *why;
};

static void wrong_values(const struct valued *cases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		refused(cases[i].path, cases[i].value, cases[i].why);
}

TEST(wrong_value_in_root_and_process)
{
	static const struct valued cases[] = {
		{"ociVersion", NULL, "missing"},
		{"ociVersion", "null", "missing"},
		{"ociVersion", "\"\"", "empty"},
		{"ociVersion", "\"1.0\"", "not a version"},
		{"ociVersion", "\"1.0.x\"", "not a version"},
		{"ociVersion", "\"2.0.0\"", "only 1.x.y"},
		{"ociVersion", "\"0.9.9\"", "only 1.x.y"},
		{"root", NULL, "missing"},
		{"root.path", NULL, "missing"},
		{"root.path", "\"\"", "empty"},
		{"process", NULL, "missing"},
		{"process.args", NULL, "missing"},
		{"process.args", "[]", "empty"},
		{"process.cwd", NULL, "missing"},
		{"process.cwd", "\"\"", "empty"},
		{"process.cwd", "\"a/b\"", "not an absolute path"},
		{"process.env[0]", "\"A\"", "NAME=value"},
		{"process.env[0]", "\"=b\"", "NAME=value"},
		{"process.user.uid", "-1", "not between 0 and 4294967294"},
		{"process.user.uid", "4294967295", "not between"},
		{"process.user.gid", "4294967296", "not between"},
		{"process.user.umask", "512", "not between 0 and 511"},
		{"process.user.additionalGids[0]", "-1", "not between"},
		{"process.consoleSize.height", "65536", "not between 0 and 65535"},
		{"process.consoleSize.width", "-1", "not between"},
		{"process.oomScoreAdj", "1001", "not between -1000 and 1000"},
		{"process.oomScoreAdj", "-1001", "not between"},
		{"process.rlimits[0].type", NULL, "missing"},
		{"process.rlimits[0].type", "\"\"", "empty"},
		{"process.rlimits[0].type", "\"RLIMIT_FOO\"", "unknown limit \"RLIMIT_FOO\""},
		{"process.rlimits[0].soft", "21", "above the hard limit 20"},
		{"process.rlimits[0].hard", "-1", "negative"},
		{"process.rlimits[1].type", "\"RLIMIT_NOFILE\"", "given twice"},
	};

	wrong_values(cases, ARRAY_LEN(cases));
}

TEST(wrong_value_in_mounts_and_hooks)
{
	static const struct valued cases[] = {
		{"mounts[0].destination", NULL, "missing"},
		{"mounts[0].destination", "\"\"", "missing"},
		{"mounts[0].type", NULL, "missing"},
		{"mounts[0].type", "\"ext4\"", "\"ext4\" is not supported"},
		{"mounts[2].source", NULL, "missing"},
		{"mounts[1].options[2]", "\"mode=9\"", "bad value"},
		{"mounts[1].options[2]", "\"mode=\"", "bad value"},
		{"mounts[1].options[2]", "\"mode\"", "bad value"},
		{"mounts[1].options[3]", "\"size=x\"", "bad value"},
		{"mounts[1].options[3]", "\"size=-1\"", "bad value"},
		{"mounts[1].options[3]", "\"size=99999999999999999999\"", "bad value"},
		{"mounts[1].options[3]", "\"size=16777216t\"", "bad value"},
		{"mounts[1].options[3]", "\"uid=4294967295\"", "bad value"},
		{"mounts[1].options[3]", "\"idmap\"", "not supported"},
		{"mounts[2].options[1]", "\"tmpcopyup\"", "tmpfs only"},
		{"mounts[2].uidMappings", "[]", "not supported"},
		{"hooks.prestart[0].path", NULL, "missing"},
		{"hooks.prestart[0].path", "\"p\"", "not an absolute path"},
		{"hooks.prestart[0].timeout", "0", "not between 1"},
		{"hooks.prestart[0].timeout", "-1", "not between 1"},
	};

	wrong_values(cases, ARRAY_LEN(cases));
}

TEST(wrong_value_in_linux)
{
	static const struct valued cases[] = {
		{"linux.namespaces[0].type", NULL, "missing"},
		{"linux.namespaces[0].type", "\"foo\"", "unknown namespace \"foo\""},
		{"linux.namespaces[1].type", "\"pid\"", "given twice"},
		{"linux.namespaces[1].path", "\"a\"", "not an absolute path"},
		{"linux.uidMappings[0].size", "0", "at least 1"},
		{"linux.uidMappings[0].size", "4294967295", "beyond the last id"},
		{"linux.uidMappings[0].hostID", "-1", "not between"},
		{"linux.maskedPaths[0]", "\"proc\"", "not an absolute path"},
		{"linux.readonlyPaths[0]", "\"\"", "empty"},
		{"linux.rootfsPropagation", "\"foo\"", "unknown propagation \"foo\""},
		{"linux.devices[0].path", NULL, "missing"},
		{"linux.devices[0].path", "\"dev\"", "not an absolute path"},
		{"linux.devices[0].type", NULL, "missing"},
		{"linux.devices[0].type", "\"x\"", "no type of device"},
		{"linux.devices[0].type", "\"\"", "no type of device"},
		{"linux.devices[0].major", "4096", "not between"},
		{"linux.devices[0].minor", "-1", "not between"},
		{"linux.devices[0].uid", "-1", "not between"},
	};

	wrong_values(cases, ARRAY_LEN(cases));
}

TEST(wrong_value_in_resources_and_seccomp)
{
	static const struct valued cases[] = {
		{"linux.resources.devices[0].access", "\"x\"", "r, w and m"},
		{"linux.resources.cpu.shares", "-1", "negative"},
		{"linux.resources.memory.swappiness", "-1", "negative"},
		{"linux.seccomp.defaultAction", NULL, "missing"},
		{"linux.seccomp.defaultAction", "\"X\"", "unknown action \"X\""},
		{"linux.seccomp.syscalls[0].names", NULL, "missing or empty"},
		{"linux.seccomp.syscalls[0].names", "[]", "missing or empty"},
		{"linux.seccomp.syscalls[0].action", NULL, "missing"},
		{"linux.seccomp.syscalls[0].action", "\"X\"", "unknown action"},
		{"linux.seccomp.syscalls[0].args[0].op", "\"X\"", "unknown operator"},
		{"linux.seccomp.syscalls[0].args[0].index", "6", "not between 0 and 5"},
		{"linux.personality.domain", "\"LINUX32\"", "not supported"},
	};

	wrong_values(cases, ARRAY_LEN(cases));
}

TEST(wrong_value_in_maps)
{
	refused_at("annotations", "{\"\":\"x\"}", "annotations", "empty");
	refused_at("linux.sysctl", "{\"../x\":\"1\"}", "linux.sysctl", "not the name");
	refused_at("linux.resources.unified", "{\"a\":\"1\"}", "linux.resources.unified",
		"not the name");
	refused_at("linux.namespaces", "[]", "linux.uidMappings", "without a user namespace");
}

TEST(lenient)
{
	static const struct {
		const char *path, *value;
	} cases[] = {
		{"unknown", "{\"a\":[1]}"},
		{"process.unknown", "1"},
		{"linux.unknown", "true"},
		{"linux", NULL},
		{"hooks", NULL},
		{"mounts", NULL},
		{"annotations", "null"},
		{"process.env", "null"},
		{"process.user", NULL},
		{"process.capabilities", NULL},
		{"process.capabilities.bounding[0]", "\"CAP_OF_TOMORROW\""},
		{"process.capabilities.bounding[0]", "\"chown\""},
		{"process.capabilities.permitted", "[]"},
		{"process.args[0]", "\"\""},
		{"ociVersion", "\"1.2.0-rc.1+dev\""},
		{"mounts[2].type", "\"none\""},
		{"mounts[1].options[0]", "\"unheard-of\""},
		{"mounts[1].options[3]", "\"size=50%\""},
		{"mounts[1].options[3]", "\"size=0x1000\""},
		{"mounts[1].destination", "\"dev\""},
		{"linux.cgroupsPath", "\"\""},
		{"linux.rootfsPropagation", "\"\""},
		{"linux.namespaces[1].path", "\"\""},
		{"linux.seccomp.architectures[0]", "\"SCMP_ARCH_NEXT\""},
		{"windows", "{}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		accepted(cases[i].path, cases[i].value);
}

TEST(capabilities_are_consistent)
{
	struct spec *s;
	char *text = changed("process.capabilities",
		"{\"effective\":[\"CAP_KILL\",\"CAP_CHOWN\"],\"permitted\":[\"CAP_KILL\"],"
		"\"ambient\":[\"CAP_KILL\"]}");

	CHECK_EQ(parse(text, &s, NULL), 0);
	CHECK_EQ(s->process.caps[SPEC_CAP_EFFECTIVE], 1 << 5);
	CHECK_EQ(s->process.caps[SPEC_CAP_AMBIENT], 0);
	spec_free(s);
	free(text);
}

static void bad_text(const char *text, size_t len, int code, const char *why)
{
	struct spec *s;
	struct err *e = NULL;

	CHECK_EQ(spec_parse_string(text, len, "config.json", &s, &e), -code);
	if (!strstr(e->msg, why) || strncmp(e->msg, "config.json: ", 13))
		printf("%s\n", e->msg);
	CHECK(strstr(e->msg, why) && !strncmp(e->msg, "config.json: ", 13));
	err_free(e);
}

TEST(text)
{
	bad_text("", 0, EINVAL, "line 1");
	bad_text("{", 1, EINVAL, "line 1");
	bad_text("[]", 2, EINVAL, "must be an object, not an array");
	bad_text("{} x", 4, EINVAL, "line 1");
	bad_text("{\"a\":\"\xff\"}", 9, EINVAL, "line 1");
	bad_text("{\"a\":\"\\u0000\"}", 14, EINVAL, "line 1");
	bad_text("{\"a\":99999999999999999999}", 26, EINVAL, "big integer");
	bad_text("{\"a\":-9999999999999999999}", 26, EINVAL, "line 1");

	size_t deep = 100000;
	char *s = malloc(deep * 2);
	memset(s, '[', deep);
	memset(s + deep, ']', deep);
	bad_text(s, deep * 2, EINVAL, "nested more than 64");
	free(s);

	size_t big = SPEC_MAX_SIZE + 1;
	s = malloc(big);
	memset(s, ' ', big);
	bad_text(s, big, EFBIG, "16 MiB");
	free(s);
}

TEST(messages_are_clean)
{
	struct spec *s;
	struct err *e = NULL;
	/* A name and a value that are long, with a control character and multi-byte text. */
	char *text = changed("process.rlimits[0].type",
		"\"\\u00e9\\u001b["
		"31m\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac"
		"\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20"
		"ac"
		"\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\\u20ac\"");

	CHECK_EQ(parse(text, &s, &e), -EINVAL);
	CHECK(!strchr(e->msg, '\033') && strstr(e->msg, "..."));
	json_t *j = json_string(e->msg); /* refuses what is not UTF-8 */
	CHECK(j);
	json_decref(j);
	err_free(e);
	free(text);
}

TEST(process_document)
{
	struct spec_process_doc *p;
	struct err *e = NULL;
	const char *ok = "{\"args\":[\"true\"],\"cwd\":\"/\",\"user\":{\"uid\":5}}";
	const char *bad = "{\"args\":[\"true\"],\"cwd\":\"/\",\"user\":{\"uid\":\"5\"}}";

	CHECK_EQ(spec_process_parse(ok, strlen(ok), "process.json", &p, &e), 0);
	CHECK(p->process.uid == 5 && p->process.umask == -1 && !p->process.env[0]);
	CHECK(!strcmp(p->text, ok));
	spec_process_free(p);
	CHECK_EQ(spec_process_parse(bad, strlen(bad), "process.json", &p, &e), -EINVAL);
	CHECK(!strcmp(e->msg, "process.json: user.uid: must be an integer, not a string"));
	err_free(e);
}

TEST(files)
{
	struct spec *s;
	struct err *e = NULL;

	CHECK_EQ(spec_load(AT_FDCWD, "/nonexistent/config.json", &s, &e), -ENOENT);
	CHECK(strstr(e->msg, "config.json not found"));
	err_free(e);
	e = NULL;
	CHECK_EQ(spec_load(AT_FDCWD, "/", &s, &e), -EISDIR);
	err_free(e);
	e = NULL;
	CHECK_EQ(spec_load(AT_FDCWD, "/dev/zero", &s, &e), -EFBIG);
	err_free(e);
}

TEST(own_documents)
{
	for (int rootless = 0; rootless < 2; rootless++) {
		json_t *j = spec_default_json(rootless);
		CHECK(j);
		char *text = json_dumps(j, JSON_INDENT(4));
		struct spec *s;
		struct err *e = NULL;
		int ret = parse(text, &s, &e);

		if (ret < 0)
			printf("%s\n", e->msg);
		CHECK_EQ(ret, 0);
		spec_free(s);
		free(text);
		json_decref(j);
	}
	json_t *f = spec_features_json();
	CHECK(json_is_string(json_object_get(f, "ociVersionMin")));
	CHECK(json_array_size(json_object_get(f, "mountOptions")) > 50);
	CHECK_EQ(json_array_size(json_object_get(json_object_get(f, "linux"), "capabilities")), 41);
	json_decref(f);
}

TEST(names)
{
	CHECK_EQ(spec_cap_number("CAP_SYS_ADMIN"), 21);
	CHECK_EQ(spec_cap_number("sys_admin"), 21);
	CHECK_EQ(spec_cap_number("CAP_"), -1);
	CHECK_EQ(spec_cap_number(""), -1);
	CHECK(!strcmp(spec_cap_name(40), "CAP_CHECKPOINT_RESTORE"));
	CHECK(!spec_cap_name(41) && !spec_cap_name(-1));
	CHECK_EQ(spec_rlimit_number("RLIMIT_STACK"), RLIMIT_STACK);
	CHECK_EQ(spec_rlimit_number("RLIMIT_"), -1);
}
