#!/bin/sh
# Who may include whom below src/, and where #ifdef may stand. One line a fault; status 1 if any.
set -eu
cd "$(dirname "$0")/.."

# FOLDER: the folders whose headers its files may include (its own always).
rules='
base:
math: base
device: base
memory: device base
config: base
store: base
image: base math
metrics: nn device image math base
data: image base
video: image base
cpu: device math base
cuda: device math base
task: base
nn: config device memory store math base
splat: task nn data metrics config store memory device image math base
gan: task nn data metrics config store memory device image math base
run: task config store memory device image video base
cmd: run task splat gan nn data metrics config store memory device image video cpu math base
.: cmd base
'

faults=$(mktemp)
trap 'rm -f "$faults"' EXIT

for file in $(find src cuda -name '*.[ch]' -o -name '*.cu' | sort); do
    folder=${file#src/}
    case $folder in
    */*) folder=${folder%%/*} ;;
    *) folder=. ;;
    esac
    if ! allowed=$(printf '%s' "$rules" | grep "^$folder:"); then
        echo "$file: folder $folder has no rule in scripts/check_includes.sh" >>"$faults"
        continue
    fi
    allowed=" ${allowed#*:} $folder "
    # src/task/task.c is the table of tasks: it names them all.
    [ "$file" = src/task/task.c ] && allowed="$allowed splat gan "
    # Devices are opened there, and only there: the one place that knows them.
    [ "$folder" = device ] && allowed="$allowed cpu cuda "
    grep -n '^[[:space:]]*#[[:space:]]*include "' "$file" | while IFS= read -r line; do
        number=${line%%:*}
        path=$(printf '%s\n' "$line" | sed 's/.*"\(.*\)".*/\1/')
        case $path in
        config_gen.h) continue ;;
        */*) from=${path%%/*} ;;
        *)
            echo "$file:$number: \"$path\" needs its folder: \"FOLDER/NAME.h\"" >>"$faults"
            continue
            ;;
        esac
        case $allowed in
        *" $from "*) ;;
        *) echo "$file:$number: $folder may not include $path" >>"$faults" ;;
        esac
    done
    case $folder in
    device | cpu | cuda) ;;
    *)
        grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif).*(HAVE_CUDA|HAVE_VIDEO)' \
            "$file" | sed "s|^|$file:|; s|\$| : a feature test belongs where a device is opened|" \
            >>"$faults" || true
        ;;
    esac
done

cat "$faults"
[ ! -s "$faults" ]
