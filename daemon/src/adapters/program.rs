//! Finding the program a kind runs, and saying how to get it when it is not there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use delight_proto::refusal::{Code, Refusal};

use crate::paths;

/// What a variable is in a finished environment.
pub(super) fn variable<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
}

/// The program: by its absolute path, else looked up in the environment's `PATH`.
///
/// # Errors
/// `start-failed`: it is not there; `install` says how to get it.
pub(super) fn find(
    kind: &str,
    program: &str,
    env: &[(String, String)],
    install: &str,
) -> Result<PathBuf, Refusal> {
    let refused = |reason: String| {
        Err(Refusal::new(Code::StartFailed, format!("{kind} cannot be started"), reason).fix(install))
    };
    if program.starts_with('/') {
        let path = Path::new(program);
        return match path.parent().and_then(|dir| paths::companion(&dir.join("x"), file_name(path), None)) {
            Some(found) => Ok(found),
            None => refused(format!("{program} is not an executable file")),
        };
    }
    if program.is_empty() || program.contains('/') {
        return refused(format!("{program:?} is neither an absolute path nor a name to look up in PATH"));
    }
    let path = variable(env, "PATH").map(OsStr::new);
    // The first place to look is beside a file of the root directory, where no program is: PATH alone decides.
    match paths::companion(Path::new("/"), program, path) {
        Some(found) => Ok(found),
        None => refused(format!("there is no {program} in PATH")),
    }
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).unwrap_or_default()
}

/// A directory an agent keeps its files in: what its variable says, else a directory of the home.
pub(super) fn home_of(env: &[(String, String)], variable_name: &str, below_home: &str) -> Option<PathBuf> {
    match variable(env, variable_name) {
        Some(dir) => Some(PathBuf::from(dir)),
        None => variable(env, "HOME").map(|home| Path::new(home).join(below_home)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(entries: &[(&str, &str)]) -> Vec<(String, String)> {
        entries.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_program_is_found_by_name_or_path_and_its_absence_has_a_way_out() {
        let path = env(&[("PATH", "/usr/bin:/bin")]);
        assert!(find("x", "sh", &path, "install it").unwrap().ends_with("sh"));
        assert_eq!(find("x", "/bin/sh", &[], "").unwrap(), Path::new("/bin/sh"));
        for absent in ["no-such-program", "/bin/no-such-program", "./sh", "", "/", "/bin"] {
            let refusal = find("x", absent, &path, "install it").unwrap_err();
            assert_eq!((refusal.code, refusal.fix.as_str()), (Code::StartFailed, "install it"), "{absent}");
        }
    }

    #[test]
    fn an_agents_directory_is_its_variables_or_the_homes() {
        let both = env(&[("HOME", "/h"), ("X_DIR", "/x")]);
        assert_eq!(home_of(&both, "X_DIR", ".x"), Some("/x".into()));
        assert_eq!(home_of(&both, "Y_DIR", ".y"), Some("/h/.y".into()));
        assert_eq!(home_of(&[], "X_DIR", ".x"), None);
    }
}
