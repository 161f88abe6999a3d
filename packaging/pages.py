"""The manual page and the completions for bash, zsh and fish, from what `tierd --help` is made of.

`python packaging/pages.py DIRECTORY` writes them below DIRECTORY/share, where Debian has such.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from daemon.cli import build
from daemon.cli_options import Code

if TYPE_CHECKING:
    from collections.abc import Iterator

CODES: Final = {
    Code.DONE: "done",
    Code.FAILED: "failed",
    Code.USAGE: "used wrongly",
    Code.NOT_FOUND: "not found",
    Code.PARTLY_FAILED: "some of it failed",
    Code.REFUSED: "refused",
    Code.UNREACHABLE: "no daemon answers",
    Code.TRY_AGAIN: "try again",
    Code.NOT_PERMITTED: "not permitted",
    Code.BAD_CONFIG: "the configuration is wrong",
    Code.INTERRUPTED: "interrupted",
}
PATHS: Final = {"path", "paths"}
"""The names of arguments that are assets ..."""
LOCAL: Final = {"upload"}
"""... but for those of these commands, which are files of the user's own."""
COMPLETION: Final = """# Completion of tierd for bash, made by packaging/pages.py.
_tierd() {
    local word=${COMP_WORDS[COMP_CWORD]} command='' before='' each
    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $before/$each in
        */-* | --config/* | --socket/*) before=$each ;;
        *) command="${command:+$command }$each"; [[ $command == @(%(groups)s) ]] || break ;;
        esac
    done
    case $command in
%(cases)s
    *) COMPREPLY=() ; return ;;
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    elif [[ -n $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    elif [[ -n $assets ]]; then
        local path=${word//\\\\ / }
        mapfile -t COMPREPLY < <(tierd _complete "$path" | while IFS= read -r each; do printf '%%q\\n' "$each"; done)
        [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
    else
        compopt -o default 2>/dev/null
    fi
}
complete -F _tierd tierd
"""
ZSH: Final = """#compdef tierd
# Completion of tierd for zsh, made by packaging/pages.py.
_tierd() {
    local command='' before='' each options words_next assets
    local -a offered
    for each in "${(@)words[2,CURRENT-1]}"; do
        case $before/$each in
        (*/-* | --config/* | --socket/*) before=$each ;;
        (*) command="${command:+$command }$each"; [[ $command == (%(groups)s) ]] || break ;;
        esac
    done
    case $command in
%(cases)s
    (*) return 1 ;;
    esac
    if [[ $PREFIX == -* ]]; then
        compadd -- ${=options}
    elif [[ -n $words_next ]]; then
        compadd -- ${=words_next}
    elif [[ -n $assets ]]; then
        offered=("${(@f)$(tierd _complete "${(Q)PREFIX}")}")
        compadd -S '' -- "${(@M)offered:#*/}"
        compadd -- "${(@)${(@)offered:#*/}:#}"
    else
        _files
    fi
}
_tierd "$@"
"""
FISH: Final = """# Completion of tierd for fish, made by packaging/pages.py.
function __tierd_offers
    set -l word (commandline -ct)
    set -l command
    set -l before
    for each in (commandline -opc)[2..-1]
        if string match -q -- '-*' $each; or contains -- "$before" --config --socket
            set before $each
        else
            set command $command $each
            contains -- "$command" %(groups)s; or break
        end
    end
    set -l options
    set -l words
    set -l assets
    switch "$command"
%(cases)s
        case '*'
            return
    end
    if string match -q -- '-*' $word
        printf '%%s\\n' $options
    else if set -q words[1]
        printf '%%s\\n' $words
    else if test -n "$assets"
        tierd _complete (string unescape -- $word; or printf '%%s' $word)
    else
        __fish_complete_path $word
    end
end
complete -c tierd -f -a '(__tierd_offers)'
"""


class Shell(NamedTuple):
    """How a shell completes: its `script`, what is said there of each command, and what stands between groups."""

    script: str
    case: str
    between: str


SHELLS: Final = {
    "bash-completion/completions/tierd": Shell(
        COMPLETION, "    '{command}') local options='{options}' words='{words}' assets='{assets}' ;;", "|"
    ),
    "zsh/vendor-completions/_tierd": Shell(
        ZSH, "    ('{command}') options='{options}' words_next='{words}' assets='{assets}' ;;", "|"
    ),
    "fish/vendor_completions.d/tierd.fish": Shell(
        FISH,
        "        case '{command}'\n            set options {options}\n            set words {words}\n"
        "            set assets {assets}",
        " ",
    ),
}
"""Where each shell looks for what it completes, below share/."""


def leaves(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command by the words that it is called with, and every group by its own."""
    for each, command in group.commands.items():
        words = f"{name} {each}".strip()
        yield words, command
        if hasattr(command, "commands"):
            yield from leaves(command, words)


def options_of(command: Any) -> list[str]:
    """Return the names of a command's options, help included."""
    return [name for each in command.params for name in (*each.opts, *each.secondary_opts) if name[0] == "-"] + [
        "--help"
    ]


def offers(root: Any) -> Iterator[tuple[str, list[str], list[str], bool]]:
    """Yield for every command, and for none: its options, the words that may follow, and whether these are assets."""
    everywhere = options_of(root)
    yield "", everywhere, list(root.commands), False
    for words, command in leaves(root):
        arguments = {each.name for each in command.params if each.param_type_name == "argument"}
        takes_assets = words not in LOCAL and not arguments.isdisjoint(PATHS)
        options = sorted({*options_of(command), *everywhere})
        yield words, options, list(getattr(command, "commands", ())), takes_assets


def completion(shell: Shell, root: Any) -> str:
    """Return the script."""
    cases = [
        shell.case.format(command=command, options=" ".join(options), words=" ".join(words), assets="yes" * assets)
        for command, options, words, assets in offers(root)
    ]
    groups = [words for words, command in leaves(root) if hasattr(command, "commands")]
    return shell.script % {"groups": shell.between.join(groups), "cases": "\n".join(cases)}


def manual(root: Any) -> str:
    """Return the page."""
    context = typer.Context(root, info_name="tierd")
    parts = [
        '.TH TIERD 1 "" "tierd" "User Commands"',
        *section("NAME", f"tierd \\- {plain(root.help)}"),
        *section("SYNOPSIS", ".B tierd\n[\\fIOPTION\\fR]... \\fICOMMAND\\fR [\\fIARGUMENT\\fR]..."),
        *section("OPTIONS", "They stand before or after the command."),
        *records(root, context),
        *section("COMMANDS"),
    ]
    for words, command in leaves(root):
        if not hasattr(command, "commands"):
            inner = typer.Context(command, info_name=words, parent=context)
            usage = " ".join(command.collect_usage_pieces(inner))
            parts += [f".SS tierd {roff(words)} {roff(usage)}", roff(command.help or ""), *records(command, inner)]
    parts += section("EXIT STATUS")
    parts += [item(str(code.value), text) for code, text in CODES.items()]
    parts += section("FILES")
    parts += [item("/etc/tierd/config.toml", "The configuration, unless $TIERD_CONFIG or ./config.toml is there.")]
    parts += [item("/run/tierd/tierd.sock", "The socket, as the service is installed.")]
    return "\n".join(parts) + "\n"


def section(title: str, *text: str) -> list[str]:
    """Return a heading and what follows it."""
    return [f".SH {title}", *text]


def records(command: Any, context: Any) -> list[str]:
    """Return arguments and options as --help has them."""
    found = [each.get_help_record(context) for each in command.params]
    return [item(name, text) for name, text in filter(None, found)]


def item(name: str, text: str) -> str:
    """Return an entry of a list."""
    return f".TP\n\\fB{roff(name)}\\fR\n{roff(text)}"


def plain(text: str) -> str:
    """Return a sentence as a page's name has it."""
    return roff(text[:1].lower() + text[1:].rstrip("."))


def roff(text: str) -> str:
    """Return text that roff takes for text."""
    text = re.sub(r"\n{2,}", "\n.PP\n", text.replace("\\", "\\e").replace("-", "\\-"))
    return re.sub(r"^(?!\.PP$)(?=[.'])", r"\\&", text, flags=re.MULTILINE)


def main(target: Path) -> None:
    """Write all of them."""
    root = typer.main.get_command(build())
    files = {"man/man1/tierd.1": manual(root)} | {name: completion(shell, root) for name, shell in SHELLS.items()}
    for name, text in files.items():
        path = target / "share" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
