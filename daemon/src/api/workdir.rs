//! The working directory of a spawn: what only the shell can see is checked before the core decides.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::bounds::PATH_BYTES;
use nix::unistd::{AccessFlags, access};

/// Checks the directory, or makes it (0700, with its parents). Blocks on the file system, which may be a slow one.
///
/// # Errors
/// `bad-params` (not absolute, too long, not a directory), `not-found`, `forbidden`, `storage` (cannot be made).
pub(crate) fn check(cwd: &str, create: bool) -> Result<(), Refusal> {
    let refuse = |code, reason: &str| Refusal::new(code, format!("a session cannot start in {cwd}"), reason);
    let path = Path::new(cwd);
    if !path.is_absolute() || cwd.contains('\0') {
        return Err(Refusal::new(Code::BadParams, "cwd cannot be used", "it is not an absolute path")
            .fix("give the whole path, beginning with /"));
    }
    if cwd.len() > PATH_BYTES {
        return Err(Refusal::new(
            Code::BadParams,
            "cwd cannot be used",
            format!("it is longer than {PATH_BYTES} bytes"),
        ));
    }
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => {
            return Err(refuse(Code::BadParams, "it is not a directory").fix("name a directory"));
        }
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound && create => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
                let code =
                    if e.kind() == ErrorKind::PermissionDenied { Code::Forbidden } else { Code::Storage };
                refuse(code, &format!("it could not be made: {e}")).fix("choose another directory")
            })?;
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(
                refuse(Code::NotFound, "it does not exist").fix("make it first, or spawn with --create")
            );
        }
        Err(e) if e.kind() == ErrorKind::NotADirectory => {
            return Err(
                refuse(Code::BadParams, "a part of the path is not a directory").fix("name a directory")
            );
        }
        Err(e) => {
            return Err(refuse(Code::Forbidden, &e.to_string()).fix("check the directory's permissions"));
        }
    }
    access(path, AccessFlags::X_OK).map_err(|e| {
        refuse(Code::Forbidden, &format!("you may not enter it: {}", e.desc())).fix("check its permissions")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn each_fault_has_its_own_refusal() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("file"), "").unwrap();
        let code = |cwd: &str, create| check(cwd, create).unwrap_err().code;
        assert_eq!(code("relative", true), Code::BadParams);
        assert_eq!(code(&at("none"), false), Code::NotFound);
        assert_eq!(code(&at("file"), true), Code::BadParams);
        assert_eq!(code(&at("file/below"), true), Code::BadParams);
        assert_eq!(code(&format!("/{}", "x".repeat(PATH_BYTES)), false), Code::BadParams);
    }

    #[test]
    fn a_missing_directory_is_made_private_when_asked() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("a/b");
        check(path.to_str().unwrap(), true).unwrap();
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700);
    }
}
