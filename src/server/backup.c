#include "server/backup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal/backup.h"
#include "server/control.h"
#include "server/fsck.h"
#include "server/tool.h"
#include "sluice/engine.h"

static const char backup_usage[] =
    "sluice backup DATA_DIR DESTINATION [--no-check]\n"
    "\n"
    "Writes a backup of everything that was acknowledged when the command began, and perhaps of "
    "more. A\n"
    "server that runs on DATA_DIR does it meanwhile, on its own file system and as its own user: "
    "DESTINATION\n"
    "is a path there. If none runs, the command opens the directory itself, as a start would: run "
    "it as the\n"
    "user that runs the server, who else cannot use what it makes.\n"
    "\n"
    "DESTINATION does not exist, or is an empty directory. On the file system of DATA_DIR the "
    "backup's files\n"
    "are hard links: that takes no time and no space, and does not protect from damage of the "
    "disk. On\n"
    "another one they are copies. SLUICE.backup in it is written last: a directory without it is "
    "no backup.\n"
    "sluice restore makes a data directory of it.\n"
    "\n"
    "A backup has the damage of what it was made of. So this command then reads all of it once and "
    "checks it\n"
    "as sluice fsck does. A backup that is damaged stays, with everything that is good in it.\n"
    "\n"
    "  --no-check   do not: links are made in no time, whatever they hold\n"
    "\n"
    "Exit code: 0 the backup is durable, 1 usage or DESTINATION is not empty or cannot be made, 3 "
    "DATA_DIR or\n"
    "the backup is corrupt, 4 DATA_DIR is locked and nobody answers, 5 another version wrote it, 6 "
    "the disk or\n"
    "the server failed.\n";

static const char restore_usage[] =
    "sluice restore BACKUP DATA_DIR\n"
    "\n"
    "Copies a backup to DATA_DIR, which does not exist or is an empty directory. The streams get a "
    "new\n"
    "history: what clients and caches know of the old one (ETags) does not match any more. The "
    "backup stays as\n"
    "it is and can be restored again.\n"
    "\n"
    "Exit code: 0 DATA_DIR is durable and can be served, 1 usage, it is not empty or cannot be "
    "made, or BACKUP\n"
    "is no complete backup, 3 the backup is corrupt, 5 another version wrote it, 6 the disk "
    "failed.\n";

static enum sl_exit_code end(enum sl_err err, const char *what, const char *path)
{
    if (err == SL_OK)
        sl_tool_print("%s: %s\n", what, path);
    else
        sl_tool_complain("%s: %s", path, sl_err_text(err));
    if (!sl_tool_end_output())
        return SL_EXIT_STORAGE_FAILED;
    return sl_exit_code_of(err);
}

static enum sl_err open_backup(const char *path, struct sl_store **backup)
{
    const struct sl_store_setup setup = {
        .vfs = sl_vfs_posix(), .path = path, .allow_volatile = true, .backup = true
    };
    return sl_store_open(&setup, backup);
}

/* ---- backup ---- */

/* The server may have another working directory. */
static bool make_absolute(const char *path, struct sl_buffer *out)
{
    char here[SL_PATH_SIZE_MAX];
    if (path[0] != '/') {
        if (getcwd(here, sizeof(here)) == NULL)
            return false;
        sl_buffer_printf(out, "%s/", here);
    }
    sl_buffer_append_text(out, path);
    sl_buffer_append(out, "", 1);
    return strchr((const char *)out->data, '\n') == NULL && out->size <= SL_PATH_SIZE_MAX;
}

/* What would be a backup of itself, and in the way of the server. */
static bool is_inside(const char *path, const char *data_directory)
{
    char parent[SL_PATH_SIZE_MAX], outer[PATH_MAX], inner[PATH_MAX];
    sl_path_parent(parent, path);
    if (realpath(data_directory, outer) == NULL || realpath(parent, inner) == NULL)
        return false; /* others say what is wrong with it */
    size_t size = strlen(outer);
    return strncmp(inner, outer, size) == 0 && (inner[size] == '/' || inner[size] == '\0');
}

static void explain_full_disk(void)
{
    sl_tool_complain("a backup needs space in the data directory, too: for what is still in "
                     "the log only");
}

static enum sl_exit_code judge_answer(const char *answer, const char *destination)
{
    static const char mistake[] = "error DESTINATION_"; /* IN_USE, UNUSABLE */
    static const char full[] = "error DISK_FULL";
    if (strcmp(answer, "ok") == 0)
        return end(SL_OK, "backup complete", destination);
    sl_control_complain(destination, answer);
    if (strncmp(answer, full, strlen(full)) == 0)
        explain_full_disk();
    return strncmp(answer, mistake, strlen(mistake)) == 0 ? SL_EXIT_USAGE : SL_EXIT_STORAGE_FAILED;
}

/* Nobody serves the directory: this process does, for a moment. */
static enum sl_exit_code backup_alone(const char *path, const char *destination)
{
    const struct sl_engine_options options = { .data_directory = path, .allow_volatile = true };
    struct sl_store *store;
    struct sl_engine *engine;
    /* First only a look: the engine would make a directory that is not there. */
    enum sl_err err = sl_tool_open_store(path, false, &store);
    if (err == SL_ERR_DATA_LOCKED)
        sl_tool_complain("%s: its server does not listen at control.sock", path);
    if (err != SL_OK)
        return sl_exit_code_of(err);
    sl_store_close(&store);
    err = sl_engine_open(&options, &engine);
    if (err != SL_OK)
        return end(err, "", path);
    err = sl_engine_backup(engine, destination);
    sl_engine_close(&engine);
    enum sl_exit_code code = end(err, "backup complete", destination);
    if (err == SL_ERR_DISK_FULL)
        explain_full_disk();
    return code;
}

/* Hard links are read here again, copies for the first time. */
static enum sl_exit_code check(const char *path)
{
    struct sl_store *backup;
    enum sl_err err = open_backup(path, &backup);
    if (err != SL_OK) {
        sl_tool_complain("%s: not checked: %s", path, sl_err_text(err));
        return sl_exit_code_of(err);
    }
    enum sl_exit_code code = sl_fsck_check(backup);
    sl_store_close(&backup);
    if (code == SL_EXIT_CLEAN)
        sl_tool_print("backup checked: %s\n", path);
    else
        sl_tool_complain(
            "%s: the backup is durable, but damaged, and so may be what it was made of", path);
    return sl_tool_end_output() ? code : SL_EXIT_STORAGE_FAILED;
}

int sl_backup_main(int argument_count, char *const *arguments)
{
    const char *words[2];
    enum sl_exit_code code;
    struct sl_buffer destination = { 0 }, request = { 0 }, answer = { 0 };
    bool no_check = false;
    const struct sl_tool_option option = { "--no-check", &no_check, NULL, 0 };
    const struct sl_tool_arguments wanted = { backup_usage, &option, 1, words, 2 };
    if (!sl_tool_parse(&wanted, argument_count, arguments, &code))
        return (int)code;
    if (!make_absolute(words[1], &destination)) {
        sl_tool_complain("%s: not a usable path", words[1]);
        code = SL_EXIT_USAGE;
    } else if (is_inside((const char *)destination.data, words[0])) {
        sl_tool_complain("%s: it is inside of the data directory: name a place outside of it",
                         words[1]);
        code = SL_EXIT_USAGE;
    } else {
        const char *path = (const char *)destination.data;
        sl_buffer_printf(&request, "backup %s\n", path);
        code = sl_control_ask(words[0], sl_buffer_bytes(&request), &answer) == 0
                   ? judge_answer((const char *)answer.data, path)
                   : backup_alone(words[0], path);
        if (code == SL_EXIT_CLEAN && !no_check)
            code = check(path);
    }
    sl_buffer_deinit(&destination);
    sl_buffer_deinit(&request);
    sl_buffer_deinit(&answer);
    return (int)code;
}

/* ---- restore ---- */

static void on_file(const char *path, uint64_t size)
{
    sl_tool_print("copying %" PRIu64 " bytes to %s\n", size, path);
}

int sl_restore_main(int argument_count, char *const *arguments)
{
    const char *words[2];
    enum sl_exit_code code;
    struct sl_store *backup;
    const struct sl_tool_arguments wanted = { restore_usage, NULL, 0, words, 2 };
    if (!sl_tool_parse(&wanted, argument_count, arguments, &code))
        return (int)code;
    enum sl_err err = open_backup(words[0], &backup);
    if (err != SL_OK)
        return (int)end(err, "", words[0]);
    err = sl_backup_restore(backup, words[1], on_file);
    sl_store_close(&backup);
    return (int)end(err, "restored", words[1]);
}
