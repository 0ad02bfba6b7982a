#!/usr/bin/env bash
# Power cuts on both engines, each with its negative control (a disk that ignores flushes, which must lose):
#   scripts/powercut.sh [CYCLES] [PROGRAM]
# The power can be cut where a device can be made that forgets: root, /dev/fuse, loop devices, libnbd-bin. Elsewhere this
# says so on every channel it has and ends with 0, unless YARROW_POWERCUT=required.
set -uo pipefail
cycles=${1:-100} program=${2:-bin/yarrow}
postgres=$(dirname "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -1)" 2>/dev/null)
scratch=$(mktemp -d) && trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"

if [ "$(id -u)" = 0 ] && ! command -v nbdfuse >/dev/null && command -v apt-get >/dev/null && [ -e /dev/fuse ]; then
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=400 install -y -qq --no-install-recommends libnbd-bin >/dev/null 2>&1 || true
fi
not_run() {
  local text="NOT RUN: no power was cut ($1). Nothing is known about power cuts from this run."
  printf '\n%s\n%s\n%s\n\n' "$(printf '!%.0s' {1..100})" "$text" "$(printf '!%.0s' {1..100})" >&2
  [ -n "${GITHUB_STEP_SUMMARY:-}" ] && echo "$text" >>"$GITHUB_STEP_SUMMARY"
  [ -n "${YARROW_ARTEFACTS:-}" ] && mkdir -p "$YARROW_ARTEFACTS" && echo "$text" >"$YARROW_ARTEFACTS/powercut-NOT-RUN"
  [ "${YARROW_POWERCUT:-}" = required ] && exit 1
  exit 0
}
prove() { "$program" prove durability --power --scratch "$scratch" --signing-key "$scratch/key" "$@"; }

for engine in embedded PostgreSQL; do
  place=()
  if [ $engine = PostgreSQL ]; then
    [ -x "$postgres/initdb" ] || not_run "there is no PostgreSQL"
    place=(--postgres "$postgres")
  fi
  prove --cycles "$cycles" "${place[@]}" 2>"$scratch/errs"
  case $? in
    0) ;;
    5) not_run "$(tail -1 "$scratch/errs" | sed 's/^ *cause: //')" ;;
    *) cat "$scratch/errs" >&2; echo "powercut: the proof does not hold on $engine" >&2; exit 1 ;;
  esac
  if prove --cycles 2 --control "${place[@]}" >"$scratch/control" 2>&1; then
    cat "$scratch/control" >&2; echo "powercut: a disk that ignores flushes went unnoticed on $engine" >&2; exit 1
  fi
  grep -q 'and is not there$' "$scratch/control" || { cat "$scratch/control" >&2; echo "powercut: the control on $engine failed for another reason than loss" >&2; exit 1; }
  echo "powercut: on $engine $cycles cuts lost nothing; a disk that ignores flushes was noticed"
done
