#!/bin/sh
# The tour of the main job, each command printed before it runs. `make demo` calls it; it works in a
# directory of its own, which it removes again, and leaves nothing running. Usage: docs/demo.sh
# shellcheck disable=SC2016 # what `run` is given is printed first, and expanded then
set -eu

PROJECT=$(cd "$(dirname "$0")/.." && pwd)
unset RUMP_SERVER
WORK=$(mktemp -d "${TMPDIR:-/tmp}/rumpfs-demo.XXXXXX")

bold='' faint='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$(printf '\033[1m') faint=$(printf '\033[2m') plain=$(printf '\033[0m')
fi
say() {
	printf '\n'
	printf "$faint# %s$plain\n" "$@"
}
run() {
	printf '%s$ %s%s\n' "$bold" "$1" "$plain"
	eval "$1"
}

# The server works in $WORK, and nobody else does: that is how it is found when it did not halt.
clean_up() {
	status=$?
	trap - EXIT
	for process in /proc/[0-9]*; do
		pid=${process#/proc/}
		if [ "$pid" != $$ ] && [ "$(readlink "$process/cwd" 2>/dev/null)" = "$WORK" ]; then
			kill "$pid" 2>/dev/null || :
		fi
	done
	cd /
	rm -rf "$WORK"
	[ $status -eq 0 ] || printf '\ndemo: the last command above failed (status %s)\n' "$status" >&2
	exit $status
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 141' PIPE

start=$(date +%s)

say 'A place to work in, and the commands on the path.'
run "PROJECT=$PROJECT"
run 'PATH=$PROJECT/.venv/bin:$PATH:/usr/sbin'
run "cd $WORK"

say 'A tree of files, and a real FFS image of it, made by NetBSD'\''s makefs(8).'
run "mkdir -p tree/etc tree/home/alice"
run 'cp "$PROJECT"/README.md "$PROJECT"/LICENSE tree/home/alice'
run 'cp -r "$PROJECT"/rumpfs/abi tree/src && rm -rf tree/src/__pycache__'
run "echo 'hostname=demo.example' > tree/etc/rc.conf && ln -s /etc/rc.conf tree/home/alice/config"
run "head -c 5000000 /dev/urandom > tree/home/alice/noise && chmod 600 tree/home/alice/noise"
run "makefs -t ffs -M 16m -o version=2,bsize=16384,fsize=2048 fs.img tree"

say 'A disk: 64 sectors with a BSD disklabel, whose partition a is the file system behind them.'
run "truncate -s 32768 disk.img && cat fs.img >> disk.img"
run "rumpfs label -w --set a=64 disk.img"

say 'A rump kernel on a unix socket. The partition is its block device /dev/dk. The prompt comes back' \
	'when the server answers.'
run "rump_allserver -d key=/dev/dk,hostpath=disk.img,disklabel=a unix://sock"
run "export RUMP_SERVER=unix://sock"

say 'Mount the image inside that kernel, and look around. :/path is a path in the server.'
run "rumpfs mkdir :/mnt"
run "rumpfs mount -t ffs -o ro /dev/dk :/mnt"
run "rumpfs ls -l :/mnt :/mnt/home/alice"
run "rumpfs cat :/mnt/etc/rc.conf"
run "rumpfs stat :/mnt/home/alice/noise"

say 'Is it all there? Read it back through system calls, and compare.'
run "rumpfs cat :/mnt/home/alice/noise | sha256sum"
run "sha256sum < tree/home/alice/noise"
[ "$(rumpfs cat :/mnt/home/alice/noise | sha256sum)" = "$(sha256sum <tree/home/alice/noise)" ]
run "rumpfs cp -r :/mnt copy"
run "(cd tree && find . -type f -exec sha256sum {} +) > sums; (cd copy && sha256sum --quiet -c ../sums) && echo \"\$(wc -l < sums) files, all equal\""

say 'A file system in memory, to write to.'
run "rumpfs mkdir :/scratch"
run "rumpfs mount -t tmpfs tmpfs :/scratch"
run "rumpfs cp -r tree/src :/scratch"
run "rumpfs mv :/scratch/src/errno.py :/scratch/renamed.py"
run "rumpfs ls -l :/scratch"
run "rumpfs cat :/scratch/renamed.py | cmp - tree/src/errno.py && echo equal"
run "rumpfs df"

say 'Done: unmount, and halt the kernel.'
run "rumpfs umount :/scratch"
run "rumpfs umount :/mnt"
run "rump.halt"

printf '\n%s\n' "That was the tour, in $(($(date +%s) - start)) s. README.md says what else there is."
