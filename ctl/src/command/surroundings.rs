//! What a new session is started in: its directory and its environment.

use std::collections::BTreeMap;
use std::env::VarError;
use std::path::Path;

use delight_proto::refusal::{Code, Refusal};

use crate::failure::{Failure, usage};

/// What a session takes from the shell it is spawned from. Everything else comes from the daemon, whose environment
/// is that of a login, not of one terminal.
const CARRIED: &[&str] = &[
    // Programs are found where the caller would find them (virtual environments, version managers).
    "PATH",
    // The terminal that will be attached is the caller's.
    "TERM",
    "COLORTERM",
    // Language, character set and time as the caller sees them. `LC_*` is carried as well.
    "LANG",
    "LANGUAGE",
    "TZ",
    // What the caller's tools start.
    "SHELL",
    "EDITOR",
    "VISUAL",
    // The caller's desktop, keys and cookies, which a daemon started at boot has none of.
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "SSH_AUTH_SOCK",
];

/// A directory of another machine: its home directory unless one is named. Nothing of ours says where a relative one is.
pub(super) fn dir_afar(asked: Option<&Path>) -> Result<String, Failure> {
    let dir = asked.unwrap_or(Path::new("~"));
    match dir.to_str() {
        Some(text) if dir.is_absolute() || text == "~" || text.starts_with("~/") => Ok(text.to_owned()),
        _ => Err(usage(
            "the working directory cannot be told",
            format!("{} is neither absolute nor below ~, and it is on another machine", dir.display()),
            "write --cwd /its/path or --cwd '~/its/path'",
        )),
    }
}

/// The directory as an absolute path, symbolic links kept: the session shows what was asked for.
pub(super) fn working_dir(asked: Option<&Path>) -> Result<String, Failure> {
    let dir = match asked {
        Some(dir) => std::path::absolute(dir),
        None => std::env::current_dir(),
    };
    let dir = dir.map_err(|e| {
        Refusal::new(Code::BadParams, "the working directory cannot be told", e.to_string())
            .fix("go to a directory that exists, or name one with --cwd")
    })?;
    dir.into_os_string().into_string().map_err(|dir| {
        usage(
            "the working directory cannot be used",
            format!("{} is not UTF-8", Path::new(&dir).display()),
            "use a directory whose name is UTF-8",
        )
    })
}

/// What the session's environment gets over the daemon's: [`CARRIED`] and `LC_*`, then what was asked for.
pub(super) fn environment(
    asked: &[String],
    ours: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut env = BTreeMap::new();
    for (name, value) in ours {
        // What is not UTF-8 cannot be carried; none of these variables is useful that way.
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
            && (CARRIED.contains(&name) || name.starts_with("LC_"))
        {
            env.insert(name.to_owned(), value.to_owned());
        }
    }
    for entry in asked {
        let (name, value) = match entry.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (entry.as_str(), caller_value(entry)?),
        };
        if name.is_empty() || name.contains('\0') || value.contains('\0') {
            return Err(usage(
                "an environment variable cannot be set",
                // The value stays unsaid: it may be a secret.
                format!("{name:?} is not a name, or its value holds a zero byte"),
                "write --env NAME=VALUE, or --env NAME to pass on yours",
            ));
        }
        env.insert(name.to_owned(), value);
    }
    Ok(env)
}

fn caller_value(name: &str) -> Result<String, Failure> {
    // A name the system cannot hold would panic in `var`.
    let found =
        if name.is_empty() || name.contains('\0') { Err(VarError::NotPresent) } else { std::env::var(name) };
    found.map_err(|e| {
        let reason = match e {
            VarError::NotPresent => format!("{name} is not set here"),
            VarError::NotUnicode(_) => format!("the value of {name} is not UTF-8"),
        };
        usage("an environment variable cannot be passed on", reason, format!("write --env {name}=VALUE"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_table_names_is_carried() {
        let ours =
            [("PATH", "/bin"), ("LC_TIME", "C"), ("AWS_SECRET_ACCESS_KEY", "x"), ("DELIGHT_SESSION_ID", "y")];
        let ours = ours.map(|(n, v)| (n.into(), v.into())).into_iter();
        let env = environment(&["A=b=c".to_owned(), "E=".to_owned()], ours).unwrap();
        let want = [("A", "b=c"), ("E", ""), ("LC_TIME", "C"), ("PATH", "/bin")];
        assert_eq!(env, want.map(|(n, v)| (n.to_owned(), v.to_owned())).into());
    }

    #[test]
    fn a_variable_that_is_not_set_is_a_mistake_and_values_are_not_repeated() {
        let none = || std::iter::empty();
        assert!(environment(&["DELIGHT_TEST_UNSET_VARIABLE".to_owned()], none()).is_err());
        let Failure::Refused(refusal) = environment(&["=secret".to_owned()], none()).unwrap_err() else {
            panic!("not a refusal")
        };
        assert!(!format!("{refusal:?}").contains("secret"));
    }

    #[test]
    fn directories_of_other_machines_are_theirs() {
        assert_eq!(dir_afar(None).unwrap(), "~");
        assert_eq!(dir_afar(Some(Path::new("~/src"))).unwrap(), "~/src");
        assert_eq!(dir_afar(Some(Path::new("/srv"))).unwrap(), "/srv");
        assert!(dir_afar(Some(Path::new("src"))).is_err() && dir_afar(Some(Path::new("~other"))).is_err());
    }

    #[test]
    fn relative_directories_become_absolute() {
        assert!(working_dir(Some(Path::new("x"))).unwrap().ends_with("/x"));
        assert!(working_dir(Some(Path::new("/a/b"))).unwrap() == "/a/b");
    }
}
