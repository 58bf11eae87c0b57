#include "server/rotation.h"

#include <errno.h>
#include <string.h>

#include "hooks/keys.h"
#include "server/control.h"
#include "server/tool.h"

static const char usage[] =
    "sluice rotate-keys DATA_DIR\n"
    "\n"
    "Has the server that runs on DATA_DIR make a new key, which is durable before anything is "
    "signed with it.\n"
    "Webhooks are signed with it from then on. The public key before it stays in __ds/jwks.json "
    "for 24 hours,\n"
    "so what was signed with it can still be verified. Tokens of workers stay valid.\n"
    "\n"
    "Within 24 hours seven keys can be retired. A key that somebody else may have is not retired "
    "but dropped:\n"
    "stop the server, remove DATA_DIR/KEYS and start it again. That ends all tokens, too.\n"
    "\n"
    "Exit code: 0 it signs with the new key, 1 usage, no server runs on DATA_DIR, or too many were "
    "retired\n"
    "lately, 6 the disk or the server failed: then it signs with the old key.\n";

_Static_assert(SL_KEYS_RETIRED_MAX == 7 && SL_KEYS_RETIRED_MS == 24 * 3600 * 1000,
               "what is said to the operator");

static enum sl_exit_code judge(const char *answer, const char *path)
{
    static const char ok[] = "ok ", many[] = "error OVERLOADED ";
    if (strncmp(answer, many, strlen(many)) == 0) {
        sl_tool_complain("%s: %s, or stop the server, remove %s/" SL_STORE_KEYS_NAME
                         " and start it again: that makes a new key, drops all others, and ends "
                         "all tokens",
                         path, answer + strlen(many), path);
        return SL_EXIT_USAGE;
    }
    if (strncmp(answer, ok, strlen(ok)) != 0) {
        sl_control_complain(path, answer);
        return SL_EXIT_STORAGE_FAILED;
    }
    sl_tool_print("webhooks are signed with the new key %s; the key before it stays in "
                  "__ds/jwks.json for 24 hours\n",
                  answer + strlen(ok));
    return sl_tool_end_output() ? SL_EXIT_CLEAN : SL_EXIT_STORAGE_FAILED;
}

int sl_rotate_keys_main(int argument_count, char *const *arguments)
{
    const char *path;
    enum sl_exit_code code;
    struct sl_buffer answer = { 0 };
    const struct sl_tool_arguments wanted = { usage, NULL, 0, &path, 1 };
    if (!sl_tool_parse(&wanted, argument_count, arguments, &code))
        return (int)code;
    int error = sl_control_ask(path, sl_bytes_of("rotate-keys\n"), &answer);
    if (error == 0) {
        code = judge((const char *)answer.data, path);
    } else if (error != ECONNREFUSED) {
        sl_tool_complain("%s: its server cannot be asked: %s%s", path, strerror(error),
                         error == EACCES ? ": run this as the user that runs it" : "");
        code = SL_EXIT_USAGE;
    } else {
        sl_tool_complain("%s: no server answers at control.sock in it: start one with sluice serve "
                         "--data-dir %s, then run this again",
                         path, path);
        code = SL_EXIT_USAGE;
    }
    sl_buffer_deinit(&answer);
    return (int)code;
}
