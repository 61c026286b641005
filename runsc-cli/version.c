/* Apart, because it is compiled anew with each commit. */
#include "runsc-cli/cli.h"
#include "runsc-cli/version.h" /* generated: Makefile */

const char runsc_version[] = RUNSC_VERSION;
const char runsc_commit[] = RUNSC_COMMIT;
