//! Programs whose business is to run other programs: a rule about one of them says nothing of what it runs.

/// Programs that run what their arguments name.
const LAUNCHERS: &[&str] = &[
    "sudo",
    "doas",
    "su",
    "runuser",
    "env",
    "nohup",
    "nice",
    "ionice",
    "chrt",
    "taskset",
    "time",
    "timeout",
    "stdbuf",
    "setsid",
    "setpriv",
    "unshare",
    "nsenter",
    "chroot",
    "flock",
    "strace",
    "ltrace",
    "gdb",
    "script",
    "watch",
    "xargs",
    "parallel",
    "entr",
    "exec",
    "command",
    "builtin",
    "coproc",
    "ssh",
    "systemd-run",
    "busybox",
    "find",
    "fd",
];

/// Programs that take a script: of an argument, of a file or of their input.
const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "mksh", "fish", "ash", "pwsh"];

/// Shell builtins after which names mean something else, or that run text from elsewhere.
const VEILS: &[&str] = &["alias", "trap", "source", ".", "function", "hash", "enable", "bind"];

/// Options of `find` and `fd` after which a command stands.
const RUNS: &[&str] = &["-exec", "-execdir", "-ok", "-okdir", "-x", "--exec", "-X", "--exec-batch"];

/// The name a program is known by.
pub(super) fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Whether it runs what its arguments name.
pub(super) fn launches(program: &str) -> bool {
    LAUNCHERS.contains(&name(program))
}

/// Whether it is a shell.
pub(super) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&name(program))
}

/// Whether what follows it cannot be told from its words.
pub(super) fn veils(program: &str) -> bool {
    VEILS.contains(&program)
}

/// Whether it looks for files, and runs something only after one of its options.
pub(super) fn searches(program: &str) -> bool {
    matches!(name(program), "find" | "fd")
}

/// Whether a command stands after this option of a program that looks for files.
pub(super) fn runs_after(option: &str) -> bool {
    RUNS.contains(&option)
}

/// Whether another program may be run by this one, because of what it is and what it was given.
pub(super) fn may_run_another(words: &[String]) -> bool {
    let Some(program) = words.first() else { return false };
    if searches(program) {
        return words.iter().any(|word| runs_after(word));
    }
    launches(program) || is_shell(program) || veils(program) || program == "eval"
}
