#!/bin/sh
# scripts/batch as one machine can play SLURM and Kubernetes: signals before a time limit, new starts after 75, parts
# of a batch, exit codes; the weights are those of runs that nothing disturbed.
. "$(dirname "$0")/lib.sh"

pictures photos 12 16 16
splat_yaml "report: false"
gan_yaml "size: 8, widths: [8], eval_samples: 0, augment_target: 0" "report: false"
export IMGTRAIN_TESTING=1 # a line for each step
long() { if [ "$1" = splat ]; then echo max_steps=400; else echo images=1600; fi; }
for task in splat gan; do run 0 imgtrain train $task.yaml "$(long $task)" -o $task-whole -q; done

# play.py: starts a command and reads what it says line by line, through a pipe that holds a page. So the run cannot be
# far ahead of its signal, whatever the machine does meanwhile.
cat >play.py <<'PYTHON'
import fcntl, os, signal, subprocess, sys, time
F_SETPIPE_SZ = 1031

def last_child(pid):
    """The program: the last of those that start one another, once it is that."""
    while True:
        names = open('/proc/%d/task/%d/children' % (pid, pid)).read().split()
        if not names: return pid
        pid = int(names[-1])

def play(command, number, lines, env=None, to=last_child):
    """Its exit status; the signal goes to the run after so many lines of steps (0: to none)."""
    end, start = os.pipe()
    fcntl.fcntl(start, F_SETPIPE_SZ, 4096)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=start,
                               env=dict(os.environ, **(env or {})))
    os.close(start)
    line, said = b'', b''
    while True:
        byte = os.read(end, 1 if lines > 0 else 65536)
        if not byte: break
        said += byte
        line += byte
        if byte != b'\n': continue
        lines -= line.startswith(b'step ')
        line = b''
        if lines == 0: os.kill(to(process.pid), number)
    os.close(end)
    sys.stderr.write(said.decode()[-600:])
    return process.wait()
PYTHON

# ---- SLURM ----
mkdir slurm
printf '#!/bin/sh\nexec "$@"\n' >slurm/srun
printf '#!/bin/sh\necho "$@" >>requeued\n' >slurm/scontrol
chmod +x slurm/*
cat >slurm.py <<'PYTHON'
# slurm.py SIGNALS ARGUMENT ...: the batch script as SLURM starts it, again after each requeue
import os, signal, sys
from play import play
signals, script = int(sys.argv[1]), os.environ['ROOT'] + '/scripts/batch/slurm.sbatch'
env = dict(SLURM_JOB_ID='17', SLURM_CPUS_PER_TASK='1', PATH=os.path.abspath('slurm') + ':' + os.environ['PATH'])
begun = 0
while True:
    if os.path.exists('requeued'): os.remove('requeued')
    begun += 1
    status = play(['bash', script] + sys.argv[2:], signal.SIGUSR1, 2 if begun <= signals else 0, env)
    if not os.path.exists('requeued'): break
    assert open('requeued').read() == 'requeue 17\n' and status == 0, status
print(begun, 'starts')
sys.exit(status)
PYTHON
slurm() { ROOT=$root IMGTRAIN=$program python3 -B slurm.py "$@"; }
for task in splat gan; do
    run 0 slurm 3 $task.yaml "$(long $task)" -o $task-slurm
    out_is "4 starts"
    same_run $task-slurm $task-whole model.safetensors final.png
done
run 78 slurm 0 splat.yaml num_gaussians=none -o wrong # ends, and does not begin again
out_is "1 starts"
run 64 slurm 0
err_has "sbatch scripts/batch/slurm.sbatch CONFIG -o RUN"

# scancel: SIGTERM to the script too
cat >cancel.py <<'PYTHON'
import os, signal, sys
from play import play, last_child
def both(pid):
    os.kill(pid, signal.SIGTERM)
    return last_child(pid)
env = dict(SLURM_JOB_ID='17', PATH=os.path.abspath('slurm') + ':' + os.environ['PATH'])
sys.exit(play(['bash', os.environ['ROOT'] + '/scripts/batch/slurm.sbatch'] + sys.argv[1:], signal.SIGTERM, 2, env, both))
PYTHON
rm -f requeued
run 75 env ROOT="$root" IMGTRAIN="$program" python3 -B cancel.py splat.yaml max_steps=400 -o cancelled
has_not requeued

# an array: each part takes its runs
for part in 0 1; do
    run 0 env SLURM_ARRAY_TASK_ID=$part SLURM_ARRAY_TASK_COUNT=2 SLURM_ARRAY_TASK_MIN=0 ROOT="$root" IMGTRAIN="$program" \
        python3 -B slurm.py 0 splat.yaml -o many max_steps=2 num_gaussians='[3, 4, 5, 6]'
    last="part $part of an array"
    if [ "$(find . -path "./many*" -name model.safetensors | wc -l)" = $((2 * part + 2)) ]; then pass; else flunk "not two runs each"; fi
done

# ---- Kubernetes ----
if ! python3 -c 'import yaml' 2>/dev/null; then
    skip "Kubernetes: python3 has no yaml"
    finish
fi
cat >kube.py <<'PYTHON'
# kube.py TEMPLATE SIGNALS [KEY=VALUE ...]: what a Job's controller does with its pods
import os, signal, sys, yaml
from play import play
job = yaml.safe_load(open(os.environ['ROOT'] + '/scripts/batch/' + sys.argv[1]))
spec, pod = job['spec'], job['spec']['template']['spec']
(container,) = pod['containers']
assert (job['apiVersion'], job['kind'], pod['restartPolicy']) == ('batch/v1', 'Job', 'Never')
secure = container['securityContext']
assert secure['readOnlyRootFilesystem'] and not secure['allowPrivilegeEscalation'] and pod['securityContext']['runAsNonRoot']
assert {m['name'] for m in container['volumeMounts']} == {v['name'] for v in pod['volumes']}
places = {'/config/config.yaml': 'gan.yaml', 'data=/data': 'data=photos', '/runs/mine': 'runs/mine', '/runs/many': 'runs/many'}
assert {a for a in container['args'] if '/' in a} <= set(places)
command = os.environ['IN_POD'].split() + [os.environ['IMGTRAIN']] + [places.get(a, a) for a in container['args']]
command[-1:-1] = sys.argv[3:]

def action(code):
    for rule in spec['podFailurePolicy']['rules']:
        on = rule.get('onExitCodes')
        if on and on['containerName'] == container['name'] and on['operator'] == 'In' and code in on['values']: return rule['action']
    return 'Count'

def run(index, left):
    global pods
    env = {} if index is None else {'JOB_COMPLETION_INDEX': str(index)}
    signals = [int(n) for n in sys.argv[2].split(',')]
    while True:
        number = signals.pop(0) if signals else 0
        pods += 1
        status = play(command, number, 2 if number else 0, env)
        if status == 0: return 0
        if number == signal.SIGKILL: status = 137 # some unshare says another
        what = action(status)
        print('pod', pods, status, what)
        left -= what == 'Count'
        if left < 0 or what in ('FailJob', 'FailIndex'): return status
pods = 0
if spec.get('completionMode') == 'Indexed':
    assert command[command.index('--shard') + 1] == str(spec['completions'])
    ends = [run(index, spec['backoffLimitPerIndex']) for index in range(spec['completions'])]
else:
    ends = [run(None, spec['backoffLimit'])]
print(pods, 'pods')
sys.exit(max(ends))
PYTHON
# As process 1, where nothing but the volume can be written to, without a home.
mkdir runs
cat >pod.sh <<'END'
mount --bind runs runs && mount -o remount,bind,ro / || exit
[ "$(stat -c %d .)" != "$(stat -c %d /)" ] || ! touch here 2>/dev/null || exit
exec "$@"
END
in_pod="unshare --mount --pid --fork sh pod.sh env HOME=/nowhere"
if ! $in_pod true 2>/dev/null; then
    skip "a root that is read-only, and process 1: unshare is not allowed"
    in_pod="env HOME=/nowhere"
fi
kube() { ROOT=$root IMGTRAIN=$program IN_POD=$in_pod python3 -B kube.py "$@"; }
# stopped twice, and killed: a node that is drained, one that is lost
run 0 kube kubernetes-job.yaml 15,15,9 images=1600
out_is "pod 1 75 Ignore
pod 2 75 Ignore
pod 3 137 Count
4 pods"
# data is a key on the command line there
run 0 imgtrain train gan.yaml data=photos images=1600 -o gan-again -q
same_run runs/mine gan-again model.safetensors final.png
same gan-again/model.safetensors gan-whole/model.safetensors
run 78 kube kubernetes-job.yaml 0 gan.batch=none
out_is "pod 1 78 FailJob
1 pods"
run 0 kube kubernetes-indexed.yaml 0 images=16 seed='[1, 2, 3, 4, 5]'
out_is "4 pods"
last="an indexed job"
if [ "$(find runs -path "runs/many*" -name model.safetensors | wc -l)" = 5 ]; then pass; else flunk "not five runs"; fi
finish
