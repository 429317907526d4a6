//! The directories on disk: found by the common rule, made private, and refused when they are somebody else's.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use nix::unistd::{User, getuid};

/// Finds the directories of this user from the environment.
pub(crate) fn resolve() -> Result<Place, Refusal> {
    let uid = getuid();
    let home = User::from_uid(uid).ok().flatten().map(|user| user.dir);
    Place::resolve(|name| std::env::var_os(name), uid.as_raw(), home.as_deref())
}

/// Makes every directory the daemon needs and checks that each is ours alone.
pub(crate) fn prepare(place: &Place) -> Result<(), Refusal> {
    for dir in [place.state.clone(), place.sessions(), place.runtime.clone(), place.holder_sockets()] {
        private_dir(&dir)?;
    }
    Ok(())
}

/// Makes a directory with mode 0700, or checks that the one there is a real directory, ours, and closed to others.
///
/// What is already there is never repaired: a directory somebody else could write to may already hold a trap.
pub(crate) fn private_dir(path: &Path) -> Result<(), Refusal> {
    let refuse = |reason: String, fix: String| {
        Err(Refusal::new(Code::Forbidden, format!("{} cannot be used", path.display()), reason).fix(fix))
    };
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => {
            let fix = "make the directory by hand, or name another (DELIGHT_RUNTIME_DIR, DELIGHT_STATE_DIR)";
            return refuse(e.to_string(), fix.to_owned());
        }
    }
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(e) => return refuse(e.to_string(), "check the directory's permissions".to_owned()),
    };
    if !found.is_dir() {
        return refuse(
            "it is not a directory".to_owned(),
            "move it away, or choose another directory".to_owned(),
        );
    }
    if found.uid() != getuid().as_raw() {
        return refuse(
            format!("it belongs to uid {}, not to you", found.uid()),
            "choose a directory of your own".to_owned(),
        );
    }
    if found.mode() & 0o077 != 0 {
        return refuse(
            format!("others can look into it (mode {:03o})", found.mode() & 0o777),
            format!("chmod 700 {}", path.display()),
        );
    }
    Ok(())
}

/// Finds a program that ships with the daemon: beside it, else in `PATH`.
///
/// `beside` is the daemon's own path, taken once at the start: after the file is replaced the kernel calls it deleted.
pub(crate) fn companion(beside: &Path, name: &str, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    let in_path = path.into_iter().flat_map(std::env::split_paths).filter(|dir| dir.is_absolute());
    beside
        .parent()
        .map(Path::to_owned)
        .into_iter()
        .chain(in_path)
        .map(|dir| dir.join(name))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_new_directory_is_private_whatever_the_parents_are() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("a/b");
        private_dir(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        private_dir(&dir).unwrap();
    }

    #[test]
    fn a_directory_others_can_read_is_refused_with_the_command_that_fixes_it() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("open");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        let refusal = private_dir(&dir).unwrap_err();
        assert_eq!(refusal.code, Code::Forbidden);
        assert_eq!(refusal.fix, format!("chmod 700 {}", dir.display()));
    }

    #[test]
    fn a_link_or_a_file_in_its_place_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let real = base.path().join("real");
        private_dir(&real).unwrap();
        let link = base.path().join("link");
        symlink(&real, &link).unwrap();
        assert_eq!(private_dir(&link).unwrap_err().code, Code::Forbidden);
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(private_dir(&file).unwrap_err().code, Code::Forbidden);
    }

    #[test]
    fn a_companion_beside_wins_over_path_and_must_be_executable() {
        let base = tempfile::tempdir().unwrap();
        let (here, there) = (base.path().join("here"), base.path().join("there"));
        for dir in [&here, &there] {
            fs::create_dir(dir).unwrap();
            fs::write(dir.join("tool"), "").unwrap();
        }
        let path = std::env::join_paths([&there]).unwrap();
        let find = || companion(&here.join("delightd"), "tool", Some(&path));
        assert_eq!(find(), None);
        fs::set_permissions(there.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(), Some(there.join("tool")));
        fs::set_permissions(here.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(), Some(here.join("tool")));
    }
}
