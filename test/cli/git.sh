#!/bin/sh
# Versions of the model in Git, against bare repositories on disk: what arrives, what stays, and that no push,
# however it ends, changes anything of the run or of the user's repository.
. "$(dirname "$0")/lib.sh"

if ! command -v git >/dev/null; then
    printf 'input_path: none.ppm\ngit: {mode: ref, remote: ./bare.git}\n' >tiny.yaml
    picture none.ppm 8 8
    run 78 imgtrain train tiny.yaml -o refused
    err_has "git.mode: the program git is not installed"
    skip "git is not installed"
    finish
fi
unset GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL GIT_DIR
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
real=$(command -v git)

picture picture.ppm 40 30
cat >tiny.yaml <<'YAML'
input_path: picture.ppm
num_gaussians: 40
max_steps: 40
add_steps: 8
post_min_steps: 8
eval_steps: 10
device: cpu
threads: 1
frames: {every: 10}
video: {enabled: false}
checkpoint: {every: 4, keep: 1}
report: false
git: {mode: ref, every: 4, remote: ./bare.git}
YAML
run 0 imgtrain train tiny.yaml git.mode=none -o plain
err_has "git.remote (tiny.yaml:13) has no effect: git.mode is none"
run 0 imgtrain train plain/config.yaml git.remote= git.every=1000 -o plainer # says every key
err_lacks "has no effect"

bare() { rm -rf "$1" && "$real" init -q --bare "$1"; }
# pushed REPOSITORY BRANCH RUN: the branch's model is the run's
pushed() {
    run 0 "$real" -C "$1" show "$2:model.safetensors"
    same "$out" "$3/model.safetensors"
}
commits() { # REPOSITORY BRANCH NUMBER
    last="$2 has $3 commits"
    if [ "$("$real" -C "$1" rev-list "$2" | wc -l)" = "$3" ]; then pass; else flunk "$("$real" -C "$1" log --oneline "$2")"; fi
}
as_plain() { same_run "$1" plain model.safetensors final.png; }

# A git in front of it: what it does at a push is in the file at_push.
mkdir front
cat >front/git <<END
#!/bin/sh
case " \$* " in *" push --force "*) . "$PWD/at_push" ;; esac
exec "$real" "\$@"
END
chmod +x front/git
with_front() { env PATH="$PWD/front:$PATH" "$@"; }

# ---- pushes arrive, from within a repository of the user's that stays as it is ----
bare bare.git
"$real" init -q user
(cd user && cp ../picture.ppm . && "$real" remote add origin ../bare.git && "$real" add picture.ppm &&
    "$real" -c user.name=a -c user.email=a@b commit -qm one && printf '#!/bin/sh\nexit 1\n' >.git/hooks/pre-push &&
    chmod +x .git/hooks/pre-push && echo changed >>picture.ppm)
listing() { (cd user && find .git -type f -exec cksum {} + | sort); }
listing >before
run 0 sh -c 'cd user && GIT_DIR=/nowhere GIT_CONFIG=../unasked "$0" train ../tiny.yaml input_path=../picture.ppm git.remote= -o "../a run"' "$program"
listing >after
same before after
same_run "a run" plain final.png
pushed bare.git imgtrain/a-run "a run"
commits bare.git imgtrain/a-run 1
run 0 "$real" -C bare.git log --format='%an %s%n%b' imgtrain/a-run
out_has "imgtrain a run: step 40"
out_has "psnr "
has_not "a run/git/next.safetensors"
# ... and from a folder of it: the remote's path begins at the top
mkdir user/below
run 0 sh -c 'cd user/below && "$0" train ../../tiny.yaml input_path=../../picture.ppm git.remote= git.every=40 -o ../../below' "$program"
rmdir user/below
err_lacks "not pushed"
pushed bare.git imgtrain/below below
has_not unasked
run 0 imgtrain verify "a run"

# Several stay, of steps that follow one another; a run that is there already brings nothing new.
run 0 imgtrain train tiny.yaml git.keep=3 git.branch=kept -o kept --json
out_has '"event": "version", "step": 4, "pushed": 1, "failed": 0'
for steps in 44 48; do run 0 imgtrain train tiny.yaml git.keep=3 git.branch=kept max_steps=$steps -o kept --resume; done
"$real" -C bare.git log --format=%s kept >subjects
commits bare.git kept 3
run 0 awk '{ step[NR] = $NF } END { exit !(step[1] == 48 && step[2] == 44 && step[3] == 40) }' subjects
pushed bare.git kept kept
"$real" -C bare.git rev-parse kept >before
run 0 imgtrain train tiny.yaml git.keep=3 git.branch=kept max_steps=48 -o kept --resume
"$real" -C bare.git rev-parse kept >after
same before after

# After a power cut files may be empty; and settings that somebody else put there are not heeded.
for damage in objects refs; do
    chmod -R u+w kept/git/objects
    find kept/git/$damage -type f -exec sh -c 'for file; do : >"$file"; done' - {} +
    [ $damage = objects ] || : >kept/git/HEAD
    printf '[url "/nowhere"]\n\tpushInsteadOf = .\n' >>kept/git/config
    steps=$((steps + 4))
    run 0 imgtrain train tiny.yaml git.keep=3 git.branch=kept max_steps=$steps -o kept --resume
    err_lacks "warning"
    pushed bare.git kept kept
    run 0 "$real" -C kept/git fsck
done
# A repository of another hash is no broken one: its versions stay.
if "$real" init -q --bare --object-format=sha256 sha.git 2>/dev/null; then
    mkdir sha
    printf '#!/bin/sh\ncase " $* " in *" init "*) set -- "$@" --object-format=sha256 ;; esac\nexec "%s" "$@"\n' "$real" >sha/git
    chmod +x sha/git
    for most in 40 44; do
        run 0 env PATH="$PWD/sha:$PATH" "$program" train tiny.yaml git.every=40 git.keep=9 git.remote=./sha.git max_steps=$most -o sha-run --resume
    done
    commits sha.git imgtrain/sha-run 2
else
    skip "this git knows one hash"
fi
# What is wrong behind an object's first bytes is found when a push of it fails; the version after that one arrives.
file=kept/git/objects/$("$real" -C kept/git rev-parse refs/imgtrain/newest:model.safetensors | sed 's/../&\//')
head -c $(($(wc -c <"$file") / 2)) "$file" >half
chmod u+w "$file"
cp half "$file"
for remote in other.git bare.git; do
    [ $remote = bare.git ] || bare $remote
    run 0 imgtrain train tiny.yaml git.remote=./$remote git.branch=kept max_steps=$steps -o kept --resume
done
err_lacks "warning"
pushed bare.git kept kept
mv kept/git elsewhere
ln -s ../elsewhere kept/git
run 0 imgtrain train tiny.yaml git.keep=3 git.branch=kept max_steps=60 -o kept --resume
err_has "kept/git is a link"

# ---- 20 pushes: what a run keeps, and bare repositories: one that collects what is left over, one that is told to ----
bare small.git
for line in "receive.unpackLimit 1" "gc.autoPackLimit 1" "gc.pruneExpire now" "gc.autoDetach false"; do
    # shellcheck disable=SC2086  # a key and its value
    "$real" -C small.git config $line
done
bare large.git
cat >times.sh <<'END'
for n in $(seq "$2"); do
    "$1" train tiny.yaml num_gaussians=400 frames.count=0 git.every=1ep git.remote=./$3.git max_steps=$n -o $3 --resume -q || exit
done
END
# The first version of a process is of its only step: so many in all.
run 0 sh times.sh "$program" 20 small
run 0 sh times.sh "$program" "${PUSHES:-2}" large
bytes() { find "$1" -type f ! -name '*.sample' -exec cat {} + | wc -c; }
model=$(wc -c <small/model.safetensors)
last="a repository that collects nothing"
if [ "$(bytes large.git)" -gt "$model" ]; then pass; else flunk "$(bytes large.git) bytes, the model has $model"; fi
[ -z "${PUSHES:-}" ] || echo "large.git after $PUSHES pushes: $(bytes large.git) bytes, the model has $model"
"$real" -C large.git gc -q --prune=now
for to in small large; do
    pushed $to.git imgtrain/$to $to
    for folder in $to.git $to/git; do
        last="$folder after all pushes"
        if [ "$(bytes $folder)" -lt $((model + 12000)) ]; then pass; else flunk "$(bytes $folder) bytes, the model has $model"; fi
        [ -z "${PUSHES:-}" ] || echo "$last: $(bytes $folder) bytes"
    done
done

# ---- a push that fails ----
fails() { # NAME WORDS: run NAME has been trained; the warning, once, and the run as without
    err_has "$2"
    err_has "the finished model was not pushed"
    last="$1: warnings of pushes"
    if [ "$(grep -c 'training goes on, and the next version' "$err")" = 1 ]; then pass; else flunk "not one"; fi
    as_plain "$1"
}
run 0 imgtrain train tiny.yaml git.remote=./gone.git prometheus=gone.prom -o gone
fails gone "git push: fatal: './gone.git' does not appear to be a git repository"
run 0 grep -Eq '^imgtrain_git_failed\{.*\} [1-9]' gone.prom
bare gone.git # it comes back: what was not pushed is
run 0 imgtrain train tiny.yaml git.remote=./gone.git -o gone --resume
pushed gone.git imgtrain/gone gone
bare hook.git
printf '#!/bin/sh\necho "not here"\nexit 1\n' >hook.git/hooks/pre-receive
chmod +x hook.git/hooks/pre-receive
run 0 imgtrain train tiny.yaml git.remote=./hook.git -o hook
fails hook "(pre-receive hook declined)"
bare still.git
rm -rf still.git/refs/heads
touch still.git/refs/heads
run 0 imgtrain train tiny.yaml git.remote=./still.git -o still
fails still "git push: ! [remote rejected]"
echo 'sleep 1000.25' >at_push
run 0 with_front "$program" train tiny.yaml git.timeout=0.5 -o hangs
fails hangs "git push: git took longer than 0.5 s"
last="what hung"
if pgrep -f '^sleep 1000.25' >/dev/null; then flunk "still runs"; else pass; fi

# A server that wants a password is not given one, and nobody is asked.
cat >server.py <<'PYTHON'
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(401)
        self.send_header('WWW-Authenticate', 'Basic realm="x"')
        self.end_headers()
    def log_message(self, *arguments): pass
server = http.server.HTTPServer(('127.0.0.1', 0), Handler)
open('port.tmp', 'w').write(str(server.server_port))
import os
os.rename('port.tmp', 'port')
server.serve_forever()
PYTHON
python3 server.py 2>/dev/null &
server=$!
wait_for port
run 0 imgtrain train tiny.yaml "git.remote=http://127.0.0.1:$(cat port)/x.git" git.every=40 -o asked
err_has "terminal prompts disabled"
as_plain asked
run 0 imgtrain train tiny.yaml "git.remote=http://me:secret@127.0.0.1:$(cat port)/x.git" git.every=40 -o secret
err_has "the finished model was not pushed"
err_lacks secret@
kill $server

# ---- stops ----
echo 'kill -TERM $PPID; sleep 1000.25' >at_push
run 75 with_front "$program" train tiny.yaml git.every=40 -o stopped
err_has "while the model was pushed: run again with --resume"
run 0 imgtrain train tiny.yaml git.every=40 -o stopped --resume
as_plain stopped
pushed bare.git imgtrain/stopped stopped
# kill -9 while git pushes: the first version, the finished one; and with locks that a kill of git leaves
for every in 4 40; do
    echo 'kill -9 $PPID; exit 1' >at_push
    run 137 with_front "$program" train tiny.yaml git.every=$every -o killed
    touch killed/git/refs/imgtrain/newest.lock killed/git/config.lock
    run 0 imgtrain train tiny.yaml git.every=$every -o killed --resume
    err_lacks "warning"
    as_plain killed
    pushed bare.git imgtrain/killed killed
    rm -rf killed
done
# As process 1, whose children the kernel reaps unseen, and where whoever started it ignores ends of children.
cat >ignores.py <<'PYTHON'
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])
PYTHON
run 0 python3 ignores.py "$program" train tiny.yaml git.every=40 -o ignores
err_lacks "warning"
pushed bare.git imgtrain/ignores ignores
if unshare --pid --fork true 2>/dev/null; then
    run 0 unshare --pid --fork "$program" train tiny.yaml -o first
    err_lacks "warning"
    pushed bare.git imgtrain/first first
else
    skip "as process 1: unshare --pid is not allowed"
fi

# ---- large files ----
if ! git lfs version >/dev/null 2>&1; then
    run 78 imgtrain train tiny.yaml git.mode=lfs -o refused
    err_is "imgtrain: git.mode lfs: the program git-lfs is not installed"
    has_not refused
    skip "git.mode lfs: git-lfs is not installed"
else
    bare 'large files.git'
    for steps in 36 40; do
        run 0 imgtrain train tiny.yaml git.mode=lfs 'git.remote=./large files.git' max_steps=$steps -o lfs --resume
        err_lacks "warning"
    done
    "$real" -C 'large files.git' show imgtrain/lfs:model.safetensors >pointer
    id=$(sed -n 's/^oid sha256://p' pointer)
    same "large files.git/lfs/objects/$(echo "$id" | cut -c1-2)/$(echo "$id" | cut -c3-4)/$id" lfs/model.safetensors
    mkdir full
    printf '#!/bin/sh\ncase " $* " in *" lfs clean "*) echo "fatal: no room" >&2; exit 1 ;; esac\nexec "%s" "$@"\n' "$real" >full/git
    chmod +x full/git
    run 0 env PATH="$PWD/full:$PATH" "$program" train tiny.yaml git.mode=lfs -o full-lfs
    err_has "git lfs: fatal: no room"
    last="one object in the run's own store"
    if [ "$(find lfs/git/lfs/objects -type f | wc -l)" = 1 ]; then pass; else flunk "not one"; fi
fi

# ---- what is refused before there is a run ----
run 78 imgtrain train tiny.yaml git.remote=nowhere -o refused
err_is "imgtrain: git.remote nowhere: the current folder's repository has no such remote (a path is written with a /)"
run 78 imgtrain train tiny.yaml git.branch=one num_gaussians='[40, 41]' -o refused
err_has "git.branch one (command line): more than one run of the batch would overwrite it"
run 0 imgtrain train tiny.yaml git.branch='[one, two]' --dry-run -o refused
run 78 imgtrain train tiny.yaml git.branch=a..b -o refused
err_is "imgtrain: git.branch a..b: Git takes no such name"
run 78 imgtrain train tiny.yaml git.remote= -o refused
err_has "git.remote is not set"
run 78 env PATH=/nowhere "$program" train tiny.yaml -o refused
err_is "imgtrain: git.mode: the program git is not installed, or not in PATH"
for every in 0 -3 ep 0ep 1.5 5e; do
    run 78 imgtrain train tiny.yaml "git.every=$every" -o refused
    err_has "expected a number of steps (1000), or of epochs (20ep), above 0"
done
has_not refused

# ---- every task: a version in the middle changes nothing, and the last one is the model ----
cat >tasks.py <<'PYTHON'
import os, sys
sys.path.insert(0, sys.argv[1])
import tiny_tasks
os.mkdir('inputs')
tiny_tasks.write_inputs('inputs')
for task in tiny_tasks.TASKS:
    words = ['task: ' + task] + [w.replace('=', ': ', 1) for w in tiny_tasks.steps(task, 'inputs', 6)[1:]]
    lines, sections = [], {}
    for word in words:
        if '.' in word.split(':')[0]: sections.setdefault(word.split('.')[0], []).append(word.split('.', 1)[1])
        else: lines.append(word)
    lines += ['%s: {%s}' % (name, ', '.join(keys)) for name, keys in sections.items()]
    open(task + '.yaml', 'w').write('\n'.join(lines) + '\n')
    print(task)
PYTHON
run 0 python3 -B tasks.py "$root/test/torture"
for task in $(cat "$out"); do
    run 0 imgtrain train "$task.yaml" threads=1 report=false -o "$task-plain"
    run 0 imgtrain train "$task.yaml" threads=1 report=false git.mode=ref git.every=1ep git.remote=./bare.git -o "$task" --json
    out_has '"event": "version", "step": 6, "pushed": 2, "failed": 0'
    same_run "$task" "$task-plain" model.safetensors final.png
    pushed bare.git "imgtrain/$task" "$task"
done
finish
