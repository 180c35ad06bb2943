"""rumpfs completion."""

from __future__ import annotations

from argparse import Namespace
from typing import Final

from rumpfs.cli.shwords import last, quote
from rumpfs.cli.tool import USAGE, Failure, Parser, Tool

EXAMPLES: Final = """\
  rumpfs completion bash >~/.local/share/bash-completion/completions/rumpfs
  eval "$(rumpfs completion bash)"             in ~/.bashrc; likewise in ~/.zshrc
  rumpfs completion fish >~/.config/fish/completions/rumpfs.fish

For all commands, their options, mount options behind -o, files of the host, and paths in images and in the
server that RUMP_SERVER names. make install-helpers, in the sources, installs them for all users.
"""

#: Each asks `rumpfs`, the one beside the command that is completed where that has a slash in it.
_SCRIPTS: Final = {
    "bash": """\
# Completions of {names}, made by `rumpfs completion bash`.
_rumpfs() {{
    local tool=rumpfs
    [[ $1 == */* ]] && tool=${{1%/*}}/rumpfs
    mapfile -t COMPREPLY < <("${{tool/#\\~/$HOME}}" completion line -- \\
        "$COMP_WORDBREAKS" "${{COMP_LINE:0:COMP_POINT}}" 2>/dev/null)
    [[ ${{#COMPREPLY[@]}} == 1 && $COMPREPLY == *[/=:,] ]] && compopt -o nospace
}}
complete -F _rumpfs {names}
""",
    "zsh": """\
#compdef {names}
# Made by `rumpfs completion zsh`.
_rumpfs() {{
    local tool=rumpfs line
    local -a done open shown_done shown_open
    [[ $words[1] == */* ]] && tool=${{~words[1]:h}}/rumpfs
    for line in ${{(f)"$($tool completion words -- "${{(@Q)words[1,CURRENT]}}" 2>/dev/null)"}}; do
        if [[ ${{line%%$'\\t'*}} == *[/=:,] ]]; then
            open+=("${{line%%$'\\t'*}}") shown_open+=("${{line/$'\\t'/  -- }}")
        else
            done+=("${{line%%$'\\t'*}}") shown_done+=("${{line/$'\\t'/  -- }}")
        fi
    done
    compadd -l -d shown_open -S '' -a open
    compadd -l -d shown_done -a done
    (( $#open + $#done ))
}}
if [[ $funcstack[1] == _rumpfs ]]; then _rumpfs "$@"; else compdef _rumpfs {names}; fi
""",
    "fish": """\
# Completions of {names}, made by `rumpfs completion fish`.
function __rumpfs_complete
    set -l words (commandline -opc)
    set -l tool rumpfs
    string match -q '*/*' -- $words[1]; and set tool (dirname -- $words[1])/rumpfs
    eval (string escape -- $tool completion words -- $words (commandline -ct | string unescape)) 2>/dev/null
end
for name in {names}
    complete -c $name -f -a '(__rumpfs_complete)'
end
""",
}


def arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("shell", metavar="|".join(_SCRIPTS), help="print the completions for this shell")


def run(tool: Tool, args: Namespace) -> None:
    """Print a shell's script, or what it asks for."""
    # Not before: all parsers are behind it, this one among them.
    from rumpfs.cli.completion import COMMANDS, complete

    if args.shell in _SCRIPTS:
        tool.write(_SCRIPTS[args.shell].format(names=" ".join(COMMANDS)))
    elif args.shell == "words" and args.command:
        found = complete(args.command)
        tool.write("".join(f"{word}\t{text}\n" if text else f"{word}\n" for word, text in found))
    elif args.shell == "line" and len(args.command) == 2:
        breaks, line = args.command
        words = last(line)
        # bash takes a word for several, where one of these letters is, and wants the last one.
        known = quote(words[-1])
        kept = max(known.rfind(letter) for letter in ":=" if letter in breaks or letter == ":") + 1
        tool.write("".join(f"{quote(found.word)[kept:]}\n" for found in complete(words)))
    else:
        raise Failure(f"no completions for {args.shell!r}; there are some for {', '.join(_SCRIPTS)}", USAGE)
