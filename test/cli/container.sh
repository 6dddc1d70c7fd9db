#!/bin/sh
# What containers start (scripts/package): a command as it is, a server of models that are fetched; the files beside it.
. "$(dirname "$0")/lib.sh"

package=$root/scripts/package
start() { IMGTRAIN=$program sh "$package/container_start.sh" "$@"; }
run 0 start --version
out_has imgtrain
run 78 start config 'none=' # its exit status is the command's
run 64 start
err_has "say a command (--help), or what to serve"

# ---- the files ----
stages=$(sed -n 's/^FROM .* AS //p' "$package/Dockerfile")
for script in $(grep -o 'container_[a-z]*\.sh' "$package/Dockerfile" | sort -u); do has "$package/$script"; done
for from in $(sed -n 's/^COPY --from=\([^ ]*\).*/\1/p' "$package/Dockerfile"); do
    last="stage $from"
    if echo "$stages" | grep -qx "$from"; then pass; else flunk "is not there"; fi
done
if python3 -c 'import yaml' 2>/dev/null; then
    cat >files.py <<'PYTHON'
import os, re, sys, yaml
package, stages = sys.argv[1], sys.argv[2].split()
compose = yaml.safe_load(open(package + '/compose.yaml'))
for name, service in compose['services'].items():
    build = service['build']
    assert build['target'] in stages and service['image'] == 'imgtrain:' + build['target'], name
    context = os.path.join(package, build['context'])
    assert os.path.exists(os.path.join(context, build['dockerfile'])), name
    assert service['read_only'] and service['cap_drop'] == ['ALL'], name
text = open(package + '/README.md').read()
render = yaml.safe_load(re.search('```yaml\n(.*?)```', text, re.S)[1])
import json
railway = json.loads(re.search('```json\n(.*?)```', text, re.S)[1])
assert render['services'][0]['dockerfilePath'] == railway['build']['dockerfilePath'] == 'scripts/package/Dockerfile'
assert render['services'][0]['healthCheckPath'] == railway['deploy']['healthcheckPath'] == '/healthz'
try: import tomllib
except ImportError: sys.exit()
fly = tomllib.loads(re.search('```toml\n(.*?)```', text, re.S)[1])
assert fly['build']['build-target'] in stages and fly['http_service']['checks'][0]['path'] == '/healthz'
PYTHON
    run 0 python3 files.py "$package" "$stages"
else
    skip "compose.yaml: python3 has no yaml"
fi

# ---- a model from a URL ----
if ! command -v curl >/dev/null; then
    skip "a model from a URL: no curl"
    finish
fi
pictures photos 4 8 8
gan_yaml "size: 8, widths: [8], images: 16, eval_samples: 0" "report: false"
run 0 imgtrain train gan.yaml -o run -q
mkdir www && cp run/model.safetensors www/a.safetensors
cat >server.py <<'PYTHON'
import http.server, os
server = http.server.HTTPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)
os.chdir('www')
open('../port.tmp', 'w').write(str(server.server_port))
os.rename('../port.tmp', '../port')
server.serve_forever()
PYTHON
python3 server.py 2>requests &
server=$!
wait_for port
from=http://127.0.0.1:$(cat port)
run 66 env MODEL="$from/none.safetensors" MODEL_FOLDER=fetched IMGTRAIN="$program" sh "$package/container_start.sh"
err_has "404"
run 65 env MODEL="$from/a.safetensors" MODEL_SHA256=00 MODEL_FOLDER=fetched IMGTRAIN="$program" sh "$package/container_start.sh"
err_has "another SHA-256"

sum=$(sha256sum www/a.safetensors | cut -d' ' -f1)
PORT=0 MODEL="faces=$from/a.safetensors here=run/model.safetensors" MODEL_SHA256=$sum MODEL_FOLDER=fetched \
    IMGTRAIN_API_KEY=secret SERVE_OPTIONS="--host 127.0.0.1" IMGTRAIN=$program \
    sh "$package/container_start.sh" >served 2>served.err </dev/null &
pid=$!
last="the server says where it is"
wait_for_words served $pid
cp served.err "$err"
if [ ! -s served ] && grep -q HTTP=0 served.err; then
    skip "this build serves nothing"
else
    url=$(head -n 1 served)
    run 0 curl -fsS "$url/healthz"
    run 0 curl -fsS -H 'Authorization: Bearer secret' "$url/v1/models"
    out_has '"faces"'
    out_has '"here"'
    run 22 curl -fsS "$url/v1/models"
    kill -TERM $pid # it is the server itself, by exec
    wait $pid
    run 0 test $? = 0
    same "$(find fetched -name model.safetensors)" www/a.safetensors
fi
kill $server
finish
