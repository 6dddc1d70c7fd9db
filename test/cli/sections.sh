#!/bin/sh
# A new section of default.yaml that is no task's takes no part in bare key names: the table of keys is
# made with one more section, and the program's own look-up is compiled with it.
. "$(dirname "$0")/lib.sh"

flags=$(pkg-config --cflags --libs yaml-0.1 2>/dev/null)
if ! command -v cc >/dev/null || ! command -v awk >/dev/null || [ -z "$flags" ]; then
    skip "all of it: no compiler, awk, pkg-config or libyaml"
    finish
fi
mkdir gen
cat "$root/default.yaml" - >with.yaml <<'YAML'

serve: # environment
  port: 80                 # int 1..65535: a name of its own
  level: 3                 # int 0..9: as memory.level
  topk: 4                  # int 0..9: as splat.topk
  seed: 5                  # int 0..9: as the common key
  both: 6                  # int 0..9 of splat gan; ending: of two tasks
  one: 7                   # int 0..9 of gan: of one
YAML
run 0 env LC_ALL=C awk -f "$root/scripts/config_gen.awk" with.yaml
cp "$out" gen/config_gen.h
cat >find.c <<'C'
#include "base/error.h"
#include "config/config_internal.h"
const char default_yaml[] = "";
int main(int argc, char **argv)
{
    static const char *const tasks[] = {"splat", "gan", "spla", "sr"};
    static const char *const keys[] = {"both", "one", "port"};
    for (int i = 0; argc == 1 && i < 12; i++) {
        const struct config_row *row = config_row(config_find("serve", keys[i / 4], NULL));
        printf("%s %s: %d\n", row->key, tasks[i % 4], config_row_applies(row, tasks[i % 4]));
    }
    bool is_bool;
    for (int i = 1; i < argc; i++) {
        char name[CONFIG_FULL_NAME_BYTES];
        int index = config_find_name(argv[i], "splat");
        printf("%s: %s%s\n", argv[i], index < 0 ? error_message() : config_row_name(config_row(index), name),
               config_is_key(argv[i], &is_bool) ? "" : " (no key)");
    }
    return 0;
}
C
# shellcheck disable=SC2086  # a list of words
run 0 cc -std=c11 -D_GNU_SOURCE -Igen -I"$root/src" find.c "$root"/src/config/*.c "$root"/src/base/*.c -o find $flags -lm -lpthread
run 0 ./find level topk seed limit max_size serve.level serve.port port
cat >wanted <<'END'
level: memory.level
topk: splat.topk
seed: seed
limit: memory.limit
max_size: key 'max_size' is in several sections: write one of frames.max_size, video.max_size, memory.max_size
serve.level: serve.level
serve.port: serve.port
port: unknown key 'port': did you mean 'serve.port'? (no key)
END
cp "$out" result
run 0 diff result wanted
# a key may be of several tasks
run 0 ./find
for line in "both splat: 1" "both gan: 1" "both spla: 0" "both sr: 0" "one splat: 0" "one gan: 1" "port sr: 1"; do
    out_has "$line"
done
printf '\nserve: # environment\n  port: 80  # int 1..65535 of splat gam: a name\n' | cat "$root/default.yaml" - >bad.yaml
run 1 env LC_ALL=C awk -f "$root/scripts/config_gen.awk" bad.yaml
err_has "port: 'gam' is no task"
# marks that are none stop the build
printf '\nserve: # environment, bear\n  port: 80  # int 1..65535: a name\n' | cat "$root/default.yaml" - >bad.yaml
run 1 env LC_ALL=C awk -f "$root/scripts/config_gen.awk" bad.yaml
err_has "serve: 'bear' is no mark"
# an older name of a value needs the value
printf '\nserve: # environment\n  mode: a  # enum a|b|x=c: a name\n' | cat "$root/default.yaml" - >bad.yaml
run 1 env LC_ALL=C awk -f "$root/scripts/config_gen.awk" bad.yaml
err_has "mode: 'c', of which 'x' is another name, is no value before it"
finish
