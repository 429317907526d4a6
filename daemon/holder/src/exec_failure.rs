//! Why a program could not be started, in words its owner can act on.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use delight_proto::holder::Start;
use delight_proto::refusal::{Code, Refusal};
use nix::libc;

use crate::forked::{candidates, path_variable};

/// Finds out what a failed start was about. The kernel's number alone does not say whether the program, its
/// interpreter or the working directory is missing.
pub(crate) fn diagnose(start: &Start, error: &io::Error) -> Refusal {
    let program = start.argv.first().map_or("", String::as_str);
    let refuse = |reason: String, fix: &str| {
        Refusal::new(Code::StartFailed, format!("{program:?} could not be started"), reason).fix(fix)
    };
    if program.is_empty() {
        return refuse("no program was named".into(), "name a program");
    }
    if let Some((reason, fix)) = bad_directory(&start.cwd) {
        return refuse(reason, fix);
    }
    let text_with_nul = |text: &String| text.contains('\0');
    if start.argv.iter().any(text_with_nul)
        || start.env.iter().any(|(n, v)| text_with_nul(n) || text_with_nul(v))
    {
        return refuse(
            "an argument or an environment entry holds a NUL byte".into(),
            "leave the NUL byte out",
        );
    }
    let path = locate(start);
    match (error.raw_os_error(), path) {
        (Some(libc::ENOENT | libc::ENOTDIR), None) if program.contains('/') => {
            refuse("there is no such file".into(), "check the path")
        }
        (Some(libc::ENOENT | libc::ENOTDIR), None) => {
            let places = path_variable(start).unwrap_or("(PATH is not set)");
            refuse(
                format!("it is in none of the directories of PATH: {places}"),
                "install it, or name it by its path",
            )
        }
        (Some(libc::ENOENT), Some(path)) => refuse(
            format!("{} is there, but the interpreter or loader it names is not", path.display()),
            "check its first line, or install what it needs",
        ),
        (Some(libc::EACCES), Some(path)) if path.is_dir() => {
            refuse(format!("{} is a directory", path.display()), "name a program")
        }
        (Some(libc::EACCES), Some(path)) if !is_executable(&path) => refuse(
            format!("{} is not executable", path.display()),
            "make it executable (chmod +x), or start its interpreter",
        ),
        (Some(libc::EACCES), _) => refuse(
            format!("permission denied: {error}"),
            "check the permissions of the program and of the directories above it",
        ),
        (Some(libc::ENOEXEC), _) => {
            refuse("it is not in a format this machine can run".into(), "use a build for this machine")
        }
        (Some(libc::E2BIG), _) => refuse(
            "its arguments and environment are too long for this system".into(),
            "pass less on the command line and in the environment",
        ),
        (Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE), _) => {
            refuse(format!("the machine has none left: {error}"), "end some processes or raise the limit")
                .retry()
        }
        _ => refuse(error.to_string(), ""),
    }
}

fn bad_directory(cwd: &str) -> Option<(String, &'static str)> {
    let path = Path::new(cwd);
    if !path.is_absolute() {
        return Some((
            format!("its working directory {cwd:?} is not an absolute path"),
            "give an absolute path",
        ));
    }
    match std::fs::metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Some((format!("its working directory {cwd} does not exist"), "create it, or choose another"))
        }
        Err(e) => {
            Some((format!("its working directory {cwd} cannot be entered: {e}"), "check its permissions"))
        }
        Ok(meta) if !meta.is_dir() => {
            Some((format!("its working directory {cwd} is not a directory"), "choose a directory"))
        }
        Ok(_) => match nix::unistd::access(path, nix::unistd::AccessFlags::X_OK) {
            Ok(()) => None,
            Err(e) => {
                Some((format!("its working directory {cwd} cannot be entered: {e}"), "check its permissions"))
            }
        },
    }
}

/// The file a start would have executed, whether or not it can be.
fn locate(start: &Start) -> Option<PathBuf> {
    candidates(start).into_iter().map(|file| Path::new(&start.cwd).join(file)).find(|path| path.exists())
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}
