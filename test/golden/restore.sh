#!/bin/sh
# Restores one backup folder by the commands of its own RESTORE.md and compares the database with what was backed up.
# Needs what RESTORE.md names (sha256sum, age, gzip or zstd, sqlite3), and no program of d1-nightly.
#
#   sh test/golden/restore.sh test/golden/v1/gzip
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$1"/* "$work"
cd "$work"
sed -n -e '/^## 5/q' -e 's/^    //p' RESTORE.md > commands.sh
sh -e commands.sh
sqlite3 -batch -init /dev/null -bail -list -noheader restored.db < content.sql > content.txt
if [ "$(cat content.txt)" != "$(cat expected.txt)" ]; then
  echo "$1 is not what was backed up. It holds:" >&2
  cat content.txt >&2
  exit 1
fi
echo "$1 is what was backed up."
