"""rumpfs: work with the files of images and rump kernels. The table of verbs, and what all of them share."""

from __future__ import annotations

import atexit
import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from rumpfs import __version__
from rumpfs.cli.stdout import complete, finish, lost, show

if TYPE_CHECKING:
    from rumpfs.cli.tool import Parser, Tool

#: objects after which Python looks for cycles
_GARBAGE: Final = 50_000

#: verb -> what it does; the module rumpfs.cli.verbs.<verb> does it
VERBS: Final = {
    "ls": "list directories",
    "cat": "print files",
    "stat": "show the attributes of files",
    "cp": "copy files in, out and within a server",
    "mkdir": "make directories",
    "rm": "remove files and directories",
    "mv": "rename or move files",
    "ln": "make links",
    "chmod": "change the permissions of files",
    "chown": "change the owner of files",
    "chflags": "change the flags of files",
    "touch": "change the times of files, and make empty ones",
    "find": "look for files",
    "tree": "draw directories",
    "du": "show how much space files take",
    "tar": "write archives of trees",
    "sha256": "show or check the digests of files",
    "mtree": "write manifests of trees",
    "grep": "look for text in files",
    "diff": "compare images, directories and trees in servers",
    "df": "show how full file systems are",
    "quota": "show quotas, as repquota(8) does",
    "mount": "mount a file system in a server, or list what is mounted",
    "umount": "unmount file systems",
    "sh": "work in a server as in a shell",
    "sysctl": "show and set what the kernel knows about itself",
    "top": "show the processes of a server",
    "trace": "show the system calls of a command",
    "info": "say what is in an image: partitions, file systems, their state",
    "survey": "look at many images, a line of JSON for each",
    "explain": "say what is at a place of an image, and whose it is, field by field",
    "log": "show the transactions in the log of an image, and what they have changed",
    "hexdump": "print the bytes of files, blocks and images, with the structures that they are",
    "undelete": "list deleted files, and restore them",
    "carve": "find file systems in a damaged disk by the copies of their superblocks",
    "map": "draw what the space of an image is used for: in the terminal, or as PNG, SVG or HTML",
    "explore": "look around in an image in the terminal",
    "fsck": "check and repair the file system of an image",
    "overlay": "show, commit and drop what an overlay has changed of an image",
    "newfs": "make a file system in an image",
    "makefs": "make an image with the files of a directory, an archive or a manifest",
    "tunefs": "change what a file system is tuned to",
    "growfs": "make a file system larger",
    "label": "show, write and change disklabels",
    "dumpfs": "show the superblock and the cylinder groups of an image",
    "completion": "print what completes command lines in a shell",
}
#: verbs whose words end in -- and a command of the host
COMMANDS: Final = ("trace", "completion")
#: verbs in which -h means something else than --help
HUMAN: Final = ("df", "du", "quota", "chmod", "chown", "chflags", "touch", "newfs", "tunefs")

_USAGE: Final = "usage: rumpfs VERB [OPTIONS] [ADDRESS ...]"

_HELP: Final = """\
{usage}

Work with the files of BSD disk images, and of rump kernels that rump_server runs.

verbs:
{verbs}
  help        print this, the help of a verb, or with `help json` what --json prints

addresses:
  path                   a path of the host
  disk.img:/path         in the file system of an image, without a server
  disk.img:a:/path       in partition a of its disklabel; 2 is the second one of its MBR or GPT, s2a both
  disk.img@1m:/path      in a file system, or with a partition a disk, that begins 1 MiB into the image
  https://h/d.img:a:/p   in an image at a url that fsspec opens, read-only (pip install rumpfs[remote])
  :/path                 in the server that the environment variable RUMP_SERVER names
  unix://sock:/path      in the server at unix://sock (unix:///tmp/sock: an absolute path)
  tcp://host:port:/path  in the server at tcp://host:port

options:
  -h, --help     print this help and exit
  -V, --version  print the version and exit

Images may be compressed (gzip, bzip2, xz, zstd): they are unpacked once, and read-only. That, and what comes
from urls, is kept in RUMPFS_CACHE (~/.cache/rumpfs), up to RUMPFS_CACHE_SIZE bytes (20g). Other urls than
those of the web need the package with which fsspec opens them: pip install s3fs for s3://bucket/disk.img,
gcsfs for gs://. What s3fs needs to know it takes from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE,
AWS_ENDPOINT_URL (of a server that is not Amazon's) or ~/.aws.

Exit status: 0 when all went well, 1 when something failed, 2 when the command line is wrong.

examples:
  rumpfs ls -l disk.img:a:/etc
  rumpfs cp -rp disk.img:a:/etc copy-of-etc

  rump_allserver -d key=/dev/dk,hostpath=disk.img,size=host unix://sock
  export RUMP_SERVER=unix://sock
  rumpfs mkdir :/mnt
  rumpfs mount -t ffs -o ro /dev/dk :/mnt
  rumpfs ls -l :/mnt
  rumpfs umount :/mnt
"""

#: what ``rumpfs help json`` prints
JSON: Final = """\
--json prints one document. It begins with "schema_version": 1, which grows when something is renamed or
removed, and has the same members whatever other options are given. Times are in nanoseconds since 1970.
A name that is not UTF-8 is in NAME_b64, in base64, in place of NAME ("name_b64" for "name").

ls, stat, find
             "entries": a list of files with
               name path       the last component, and the path in the server
               type            file dir symlink char block fifo socket whiteout unknown
               mode            permissions, a number (octal 0644 is 420)
               ino dev nlink uid gid size blocks (of 512 bytes) blksize flags gen
               rdev            [major, minor] of a device, else null
               atime_ns mtime_ns ctime_ns birthtime_ns
               target          what a symbolic link says; other files lack it
df, mount    "filesystems": a list, in the order in which they were mounted, with
               fstype source mountpoint
               options         names as -o takes them
               block_size blocks used free available    counts are in units of block_size
               files files_free
quota        "quotas": a list, by file system, type and id, with
               source mountpoint
               idtype          user group
               id              a number; null for what new ids get
               space files     used soft hard expires_ns grace_seconds    space is in bytes; a limit is
                               null when there is none, expires_ns while none is exceeded
tree         "trees": a list of files as above; a directory has "children", a list of the same
sha256       "digests": a list of path, sha256; with -c "results": a list of path, result
             (same differs unread)
grep         "matches": a list of path, line (its number), text; both null for a file that is named only
diff         "differences": a list of path, change (added removed changed), and fields: what has changed,
             [before, after] each, of type mode uid gid nlink size mtime device target content (first byte)
du           "usage": a list of path, bytes; and "total_bytes"
sysctl       "sysctl": values by name: numbers, strings, structures in hexadecimal; with -d descriptions
top          "processes": a list of pid ppid pgid sid uid gid lwps start comm
trace        a document in each line, the first with "schema_version"; then each has
               event           call, signal, connect guest fork exec prefork cancel process refused
                               disconnect stopped
               at              seconds since the beginning
               connection pid  pid is null until it is known
             and a call
               call lwp args result error elapsed
             args by their names: numbers, names of flags, paths, null, structures, lists; a buffer is
             {"text" or "b64", "length"}, and what a call changed {"before", "after"}
trace -c     "calls": a list of call, calls, errors, seconds
fsck         image checked clean modified unresolved rerun
             skipped           why it was not checked, or null
             "filesystem":     null, or format byte_order block_size fragment_size groups frags
                               frags_free frags_used files last_mounted_on
             "findings":       a list, in the order in which they were made, with
               kind pass       what it is in a word, and the pass that found it: 0 1 1b 2 3 4 5 6 end
               inode group block field path    where; null for what does not apply
               got expected    what was found, and what should be there
               text repair     in words: what is wrong, and what yes does
               preen           whether -p repairs it
               answers fixed   a list of question, yes; whether some answer was yes
             findings_left_out number of those that were too many
overlay status
             overlay image size fingerprint    of the image: path, bytes, SHA-256 of samples
             image_changed     how the image differs from what the overlay was made of; null: not at all
             block_size changed_blocks changed_bytes allocated_bytes
             state             clean used killed cut committing
             explanation holder                state in words; process that uses it, or null
overlay diff "differences": a list of offset, bytes
overlay commit   written_bytes
info         "images": a list of image, size,
               filesystem      what the whole of it holds, or null
               tables          a list of kind (GPT MBR disklabel), offset, about, partitions (names), and
                               tables: those inside
               partitions      a list of name address table offset size type filesystem
             a filesystem has format byte_order superblock size block_size fragment_size groups used free
             files files_free state log label last_mounted_on last_written_ns warnings; sizes in bytes
map          image format block_size fragment_size frags frags_free blocks_free frags_lost
             frags_doubled log_frags used_percent fragmentation_percent inodes_used with_blocks in_pieces
             extents extent_frags
             "areas":          frags by use: free lost boot superblock group summary inodes inodes_free
                               inodes_raw log directory indirect attributes file (in one piece) pieces
                               (of 8 blocks or more) scattered snapshot other; those of 0 are left out
             "files":          of each -f: path with_blocks in_pieces extents extent_frags
             "groups":         a list of group frag frags damaged frags_free blocks_free frags_lost
                               frags_doubled inodes inodes_used inodes_initialised directories areas
makefs       image format byte_order size block_size fragment_size groups inodes files frags_free
tunefs       image written maxcontig maxbpg minfree optimization avgfilesize avgfpdir label
             "log":            place size flags; place is null when there is none
             "quotas":         a list of user, group
growfs       image written old_size size old_groups groups fragment_size summary_moved
label        image dialect byte_order offset (in bytes) container type disk label sector_size sectors
             "partitions":     a list of letter offset size (in sectors) type fsize bsize cpg
             slots warnings    length of the table; what is wrong or odd
explain      image target what address length allocated owners
             block group       the fragment, and its group or null
             "extents":        of an inode: a list of offset address frag length
             "indirect":       its indirect blocks: a list of frag level lbn used pointers
             "structures":     a list of name type offset size, and "fields": a list of
                               name offset size value text meaning; bytes are hexadecimal digits
log          image offset size log_block_size byte_order in_use live_bytes generation head tail damage
             "transactions":   a list, the oldest first, of
               live offset length complete generation time_ns records
               blocks          a list of address length kind inode
               inodes          a list of inode change type size nlink path
               names           a list of directory directory_path name inode change
               revoked         a list of address length
               nameless        a list of inode mode
             "remains":        of those whose beginning is overwritten: length (bytes),
               inodes          a list of inode type size nlink, as they once were
               directories     a list of directory (null is unknown) length
undelete     "deleted": a list of path name inode directory type mode size mtime_ns deleted_ns
             confidence        high medium low name
             reasons           why, in words
             blocks blocks_free source    fragments, and those that no other file has; null is unknown
carve        image size rejected
             "filesystems":    a list of start size missing sure address format byte_order block_size
                               fragment_size groups id label last_mounted_on last_written_ns primary sblock
                               superblocks (offset, group or null) commands
             "labels":         a list of offset dialect byte_order problem partitions
survey       a document in each line, with image, size, sha256 (null without --sha256), and
               error           why there is nothing more, or null; then the rest may be missing
               tables          a list of kind offset about, and partitions: name offset size type tables
               filesystems     a list: as in info, and part offset error types (how many files of each type)
                               bytes (of files) oldest_ns newest_ns setuid (100 paths) setuid_count
                               errors (100 messages) errors_count; deleted_names (removed, but left in
                               directories) deleted_inodes (free, but once in use)
dumpfs       image format byte_order location (in bytes) old_layout warnings
             "superblock":     its fields by their names; bytes are text or hexadecimal
             "summary":        cs_ndir cs_nbfree cs_nifree cs_nffree of each group
             "groups":         (not with -s) fields by their names, offset, clustersum, and iused and
                               free: [first, last] of each run
"""


def help_text() -> str:
    """Return what ``rumpfs --help`` prints."""
    verbs = "\n".join(f"  {verb:10}  {summary}" for verb, summary in VERBS.items())
    return _HELP.format(usage=_USAGE, verbs=verbs)


def _wrong(text: str) -> int:
    print(f"rumpfs: {text}\n{_USAGE}\nsee rumpfs --help", file=sys.stderr)
    return 2


def _unknown(verb: str) -> int:
    from difflib import get_close_matches

    near = get_close_matches(verb, [*VERBS, "help"], 1)
    return _wrong(f"no verb {verb!r}" + (f"; did you mean {near[0]}?" if near else ""))


def _help(words: list[str]) -> int:
    if not words:
        return show("rumpfs", help_text())
    elif words == ["json"]:
        return show("rumpfs", JSON)
    elif len(words) == 1 and words[0] in VERBS:
        return _verb(words[0], ["--help"])
    return _wrong(f"no help on {' '.join(words)!r}; there is help on {', '.join(VERBS)} and json")


def main() -> int:
    """Run the command; return its exit status."""
    complete()
    try:
        status = _command(sys.argv[1:])
    except SystemExit as done:  # how argparse ends after --help and after what it does not understand
        status = int(done.code or 0)
    return finish("rumpfs", status)


def _command(words: list[str]) -> int:
    if not words:
        print(help_text(), end="", file=sys.stderr)
        return 2
    verb = words[0]
    if verb in ("-h", "--help"):
        return _help([])
    if verb == "help":
        return _help(words[1:])
    if verb in ("-V", "--version"):
        version = ".".join(map(str, sys.version_info[:3]))
        return show("rumpfs", f"rumpfs {__version__} (Python {version})\n")
    if verb.startswith("-"):
        return _wrong(f"no option {verb}")
    return _verb(verb, words[1:]) if verb in VERBS else _unknown(verb)


def _verb(verb: str, words: list[str]) -> int:
    # A verb ends soon and makes few cycles: looking for them among its modules costs more than they do, most
    # of all at the end.
    gc.set_threshold(_GARBAGE)
    atexit.register(gc.freeze)
    from rumpfs.cli.tool import INTERRUPTED, OutputLost, Tool

    tool = Tool(f"rumpfs {verb}")
    Tool.running = tool.name
    try:
        try:
            run_verb(tool, verb, words)
        finally:
            tool.close()
        tool.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OutputLost as output:
        return lost(tool.name, output.error, tool.unwritten)
    return tool.status


def verb_parser(verb: str, name: str = "rumpfs") -> Parser:
    """Return the parser of a verb.

    Args:
        name: how its messages begin.
    """
    from rumpfs.cli.tool import Parser

    module = import_module(f"rumpfs.cli.verbs.{verb}")
    summary = VERBS[verb]
    parser = Parser(name, summary[0].upper() + summary[1:] + ".", module.EXAMPLES, verb in HUMAN)
    module.arguments(parser)
    return parser


def run_verb(tool: Tool, verb: str, words: list[str]) -> None:
    """Run a verb; `tool.status` says how it went.

    Args:
        words: its options and operands.

    Errors:
        SystemExit: argparse has said all that there is to say.
        OutputLost, KeyboardInterrupt: from within.
    """
    from argparse import Namespace

    from rumpfs.cli.tool import Failure

    module = import_module(f"rumpfs.cli.verbs.{verb}")
    tool.writes = getattr(module, "WRITES", False)
    tool.unwritten = getattr(module, "TROUBLE", tool.unwritten)
    parser = verb_parser(verb, tool.name)
    end = words.index("--") if verb in COMMANDS and "--" in words else len(words)
    # After -- all words are operands, which argparse knows only where options do not stand between them.
    parse = parser.parse_args if "--" in words[:end] else parser.parse_intermixed_args
    args = parse(words[:end], Namespace(command=words[end + 1 :]))
    try:
        module.run(tool, args)
    except Failure as failure:
        tool.error(failure.text)
        tool.status = max(failure.status, getattr(module, "TROUBLE", failure.status))


if __name__ == "__main__":
    sys.exit(main())
