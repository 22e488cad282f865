#!/bin/sh
# Runs the two commands of the README as on a new machine: in a clone of the last commit, with a PATH that holds git,
# Node, npm, sh and coreutils and nothing else. Fails when a command fails, when `npm test` is not quiet, or when
# anything is left in the temporary directory. Then tries what no package's script has installed. Takes as long as
# `npm test`, and a minute.
#
#   sh scripts/bare-machine.sh
set -eu

# So many lines may `npm test` print when all is well.
QUIET=150

COREUTILS="[ basename cat chmod cp cut date dirname env expr head id install ln ls mkdir mktemp mv nproc od printf pwd
  readlink realpath rm rmdir seq sha256sum sleep sort stat tail tee test touch tr uname uniq wc"

fail() {
  echo "bare-machine: $*" >&2
  exit 1
}

# The machine's own program of this name: npm puts the project's folder before the PATH, whose Node is another one.
own() {
  (
    IFS=:
    for folder in $PATH; do
      case "$folder" in *node_modules*) continue ;; esac
      if [ -x "$folder/$1" ]; then realpath "$folder/$1"; exit; fi
    done
    exit 1
  )
}

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/d1-nightly-bare-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir "$work/bin" "$work/tmp"
for program in git node npm sh; do
  path=$(own "$program") || fail "$program is not installed"
  ln -s "$path" "$work/bin/$program"
done
for program in $COREUTILS; do
  if path=$(own "$program"); then ln -s "$path" "$work/bin/$program"; fi
done

# What npm has told the command that we may be a part of is nothing that a new shell would know.
for name in $(env | cut -d= -f1); do
  case "$name" in
    npm_lifecycle_* | npm_package_* | npm_command | npm_execpath | npm_node_execpath | npm_config_*prefix | INIT_CWD | NODE | VITEST_JSON)
      unset "$name"
      ;;
  esac
done
export PATH="$work/bin" TMPDIR="$work/tmp"

git clone --quiet "$root" "$work/d1-nightly"
cd "$work/d1-nightly"
echo "$(git log -1 --format='%h %s'), Node $(node --version), npm $(npm --version)"

timed() {
  begun=$(date +%s)
  echo "\$ $*"
  "$@" > "$work/output" 2>&1 < /dev/null || { cat "$work/output"; fail "$* has failed"; }
  lines=$(wc -l < "$work/output")
  echo "  $lines lines, $(($(date +%s) - begun)) s"
  left=$(ls -A "$TMPDIR")
  [ -z "$left" ] || fail "$* has left in the temporary directory: $left"
}

timed npm install
[ -z "$(git status --porcelain)" ] || fail "npm install has changed $(git status --porcelain)"
free_port='const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
timed npm start -- --once --port "$(node -e "$free_port")" --emulator-port "$(node -e "$free_port")"
timed npm test
[ "$lines" -lt "$QUIET" ] || { cat "$work/output"; fail "npm test has printed $lines lines, where $QUIET are too many"; }

rm -rf node_modules
timed npm install --ignore-scripts
timed npm start -- --help
timed npm test -- test/e2e/machine
