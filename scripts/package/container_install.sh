#!/bin/sh
# In the container that runs imgtrain, as root: the packages that container_build.sh has listed, curl for models that are
# fetched, git for git.mode.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2046  # a list of words
apt-get install -y -qq --no-install-recommends $(cat /usr/local/lib/imgtrain/packages) ca-certificates curl git >/dev/null
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
imgtrain --version
