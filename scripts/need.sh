#!/usr/bin/env bash
# What a step needs. `need.sh build`: Go and Node. `need.sh test`: also PostgreSQL 15, Chromium and curl, installed from Debian
# packages when they are missing. Each thing that cannot be had is named with its remedy.
set -euo pipefail
fail() { echo "Yarrow needs $1. $2" >&2; exit 1; }
at_least() { printf '%s\n%s\n' "$2" "$1" | sort -V -C; }

command -v go >/dev/null || fail "Go 1.26 or later" "Get it from https://go.dev/dl and put its bin folder on the PATH."
v=$(go env GOVERSION); v=${v#go}
at_least "$v" 1.26 || fail "Go 1.26 or later, and this is $v" "Get it from https://go.dev/dl."
command -v node >/dev/null && command -v npm >/dev/null || fail "Node 20 or later with npm" "On Debian: apt-get install nodejs npm, or get it from https://nodejs.org."
v=$(node --version); v=${v#v}
at_least "$v" 20 || fail "Node 20 or later, and this is $v" "Get it from https://nodejs.org."
command -v git >/dev/null || fail "git" "On Debian: apt-get install git."
[ "${1:-build}" = test ] || exit 0

missing=()
[ -x /usr/lib/postgresql/15/bin/initdb ] || missing+=(postgresql-15)
command -v chromium >/dev/null || missing+=(chromium)
command -v curl >/dev/null || missing+=(curl ca-certificates)
[ ${#missing[@]} -eq 0 ] && exit 0
echo "Installing ${missing[*]} for the tests"
sudo=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || fail "${missing[*]} for its tests" "Install as root: apt-get install --no-install-recommends ${missing[*]}"
  sudo=sudo
fi
command -v apt-get >/dev/null || fail "${missing[*]} for its tests" "Install these with your system's package manager."
export DEBIAN_FRONTEND=noninteractive
# A server that Debian starts by itself would only be in the way: the tests start their own.
$sudo mkdir -p /etc/postgresql-common
[ -f /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
$sudo apt-get -o DPkg::Lock::Timeout=400 update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=400 install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
  fail "${missing[*]} for its tests" "Install them by hand: apt-get install --no-install-recommends ${missing[*]}"
