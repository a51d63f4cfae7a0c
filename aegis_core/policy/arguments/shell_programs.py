"""Programs whose name says too little: what they run is in their arguments, or they change what a later word means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["is_interpreter", "may_wrap", "wraps"]

# ruff: noqa: SIM905 - a page of words reads better without quotes

# These run what they are given, or change what the commands after them mean. Listing one in a policy does not help.
_SHELLS = """
    ash bash busybox cmd csh dash elvish fish ksh mksh nu powershell pwsh rbash sh tcsh toybox xonsh zsh
"""
_KEYWORDS = """
    and begin case coproc do done elif else end esac fi for foreach function if in nocorrect noglob not or repeat
    select then time until while
"""
_WRAPPERS = """
    at batch bwrap catchsegv chpst chroot chrt crontab daemon dbus-run-session direnv doas dumb-init entr env expect
    fakeroot faketime firejail flock gdb gosu ionice ld-linux-x86-64.so.2 ld-linux.so.2 ld.so linux32 linux64 ltrace
    nice nohup nsenter parallel perf pkexec prlimit proot proxychains proxychains4 rlwrap run-parts runuser rush
    s6-setuidgid script setarch setpriv setsid setuidgid softlimit start-stop-daemon stdbuf strace su su-exec sudo
    systemd-run taskset timeout tini torsocks unbuffer unshare valgrind watch xargs xvfb-run
"""
_BUILTINS = """
    . alias autoload bind builtin command compgen complete compopt declare disable emulate enable eval exec export fc
    getopts hash history let local mapfile read readarray readonly rehash sched set setopt shopt source trap typeset
    unalias unset unsetopt zle zmodload
"""
_WRAPPING = frozenset(f"{_SHELLS} {_KEYWORDS} {_WRAPPERS} {_BUILTINS}".split())

# These run a program written in their arguments, or send one elsewhere. A policy that lists one trusts what it is
# given.
_INTERPRETERS = frozenset(
    """
    awk bun clojure cscript deno docker ed elixir emacs erl ex gawk ghci groovy guile iex ipython irb java jshell
    julia kotlin kubectl lua luajit lxc mawk mosh nawk nerdctl node nodejs npx nvim oc osascript perl php podman pypy
    python r racket rscript rsh ruby runghc sbcl scala screen ssh swift tclsh tmux ts-node uvx vagrant vi vim wish
    wscript
    """.split()
)
_VERSION = re.compile(r"[0-9.]+\Z")

# Options by which other programs run a command, or set a variable of the shell.
_OPTIONS = {
    "fd": frozenset(("--exec", "--exec-batch", "-X", "-x")),
    "find": frozenset(("-exec", "-execdir", "-ok", "-okdir")),
    "printf": frozenset(("-v",)),
    "test": frozenset(("-R", "-v")),
    "wait": frozenset(("-p",)),
}


def may_wrap(name: str) -> bool:
    """Whether `wraps` could say yes to a program, by its folded base name."""
    return name in _WRAPPING or name in _OPTIONS


def wraps(name: str, arguments: Iterable[str]) -> bool:
    """Whether a program, by its folded base name, runs another that its own name does not tell."""
    if name in _WRAPPING:
        return True
    options = _OPTIONS.get(name)
    return options is not None and any(argument in options for argument in arguments)


def is_interpreter(name: str) -> bool:
    """Whether a program, by its folded base name, runs others unless nobody asks it to."""
    return name in _INTERPRETERS or _VERSION.sub("", name) in _INTERPRETERS
