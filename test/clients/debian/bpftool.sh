#!/bin/sh
# Reads and writes a map of a volume with bpftool:
#
#   bpftool.sh [--lookup KEY] [--update KEY=VALUE [--expect-denied]] DIRECTORY NAME
#
# Keys and values are hexadecimal. The exit status is 0, or 1 if the kernel did not answer as expected, or 64.
#
# BPFTOOL names the bpftool to use; by default the one that fetch.sh fetched, or else the installed one. It has to be a
# recent one: 7.8 opens a pin for reading when it only reads, 7.5 and older always for writing too, which a read-only map
# refuses them.
set -u

usage() {
	echo "usage: bpftool.sh [--lookup KEY] [--update KEY=VALUE [--expect-denied]] DIRECTORY NAME" >&2
	exit 64
}

fetched=$(dirname "$0")/bin/bpftool
[ -x "$fetched" ] || fetched=bpftool
BPFTOOL=${BPFTOOL:-$fetched}

lookup='' update='' expect_denied=''
while [ $# -gt 0 ]; do
	case $1 in
	--lookup) lookup=${2-} && [ -n "$lookup" ] && shift 2 || usage ;;
	--update) update=${2-} && [ -n "$update" ] && shift 2 || usage ;;
	--expect-denied) expect_denied=yes && shift ;;
	--*) usage ;;
	*) break ;;
	esac
done
[ $# -eq 2 ] || usage
[ -z "$expect_denied" ] || [ -n "$update" ] || usage
case $lookup$update in *[!0-9a-fA-F=]*) usage ;; esac
case $update in '' | ?*=?*) ;; *) usage ;; esac
pin=$1/$2

fail() {
	echo "bpftool.sh: $pin: $1" >&2
	exit 1
}

# "0a0b" becomes "0a 0b", as bpftool reads it.
spaced() { echo "$1" | sed 's/../& /g'; }

# bpftool's JSON becomes one "<key> <value>" per entry.
entries() {
	grep -o '"key":\[[^]]*\],"value":\[[^]]*\]' |
		sed -E 's/"key":\[(.*)\],"value":\[(.*)\]/\1 \2/; s/0x//g; s/[",]//g'
}

if [ -n "$update" ]; then
	# shellcheck disable=SC2046  # one word for each byte
	answer=$("$BPFTOOL" map update pinned "$pin" \
		key hex $(spaced "${update%%=*}") value hex $(spaced "${update#*=}") 2>&1)
	status=$?
	if [ -z "$expect_denied" ]; then
		[ $status -eq 0 ] || fail "update: $answer"
	elif [ $status -eq 0 ]; then
		fail "update: was not refused"
	else
		case $answer in
		*"Read-only file system"*) echo "update: refused with EROFS" >&2 ;;
		*"Permission denied"*) echo "update: refused with EACCES" >&2 ;;
		*"Operation not permitted"*) echo "update: refused with EPERM" >&2 ;;
		*) fail "update: failed, but was not refused: $answer" ;;
		esac
	fi
fi

if [ -n "$lookup" ]; then
	# shellcheck disable=SC2046
	answer=$("$BPFTOOL" -j map lookup pinned "$pin" key hex $(spaced "$lookup") 2>&1) || fail "lookup: $answer (null: no entry)"
else
	answer=$("$BPFTOOL" -j map dump pinned "$pin" 2>&1) || fail "dump: $answer"
fi
# Some types have per-CPU values, in another form.
[ "$answer" = '[]' ] || echo "$answer" | entries | grep . || fail "this client does not read its type"
