//! Where a phone may start sessions: below the owner's roots, links resolved.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounds;

use super::settings::{RemoteSettings, expand};

/// What lies at a path a phone named.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A directory, its path without links.
    Directory(PathBuf),
    /// Nothing; it could be made there.
    Missing(PathBuf),
}

/// Looks whether a session may be started at a path. Blocks on the file system.
///
/// # Errors
/// `forbidden` outside the roots; `bad-params` for what is no directory's path.
pub(super) fn find(path: &str, settings: &RemoteSettings, home: &Path) -> Result<Found, Refusal> {
    let bad = |reason: &str| Refusal::new(Code::BadParams, "the directory cannot be used", reason);
    if path.len() > bounds::PATH || path.contains('\0') {
        return Err(bad("it is no path"));
    }
    let path = expand(path, home).ok_or_else(|| bad("it is not an absolute path"))?;
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(bad("it contains .."));
    }
    // The deepest part of it that exists, without links, and what is missing below that.
    let mut missing = PathBuf::new();
    let mut above = path.as_path();
    let real = loop {
        match above.canonicalize() {
            Ok(real) => break real,
            // A link that leads nowhere is not a place to make something in.
            Err(e) if e.kind() == ErrorKind::NotFound && above.symlink_metadata().is_err() => {}
            Err(e) => return Err(bad(&format!("{}: {e}", above.display()))),
        }
        let (Some(parent), Some(name)) = (above.parent(), above.file_name()) else {
            return Err(bad("no part of it exists"));
        };
        missing = if missing.as_os_str().is_empty() { name.into() } else { Path::new(name).join(missing) };
        above = parent;
    };
    let whole = if missing.as_os_str().is_empty() { real.clone() } else { real.join(&missing) };
    let below = |root: &String| {
        let root = expand(root, home).and_then(|root| root.canonicalize().ok());
        root.is_some_and(|root| whole.starts_with(root))
    };
    if !settings.roots.iter().any(below) {
        let reason = format!("{} is not below a directory this machine's owner allows", whole.display());
        return Err(Refusal::new(Code::Forbidden, "the directory cannot be used", reason)
            .fix(format!("allowed: {}; its owner can set remote.roots", settings.roots.join(", "))));
    }
    if !real.is_dir() {
        return Err(bad(&format!("{} is not a directory", real.display())));
    }
    Ok(if whole == real { Found::Directory(real) } else { Found::Missing(whole) })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn at(base: &Path) -> (RemoteSettings, PathBuf) {
        let home = base.canonicalize().unwrap().join("home");
        fs::create_dir_all(home.join("work")).unwrap();
        (RemoteSettings::default(), home)
    }

    #[test]
    fn home_and_below_is_allowed_and_what_is_missing_is_told() {
        let base = tempfile::tempdir().unwrap();
        let (settings, home) = at(base.path());
        let find = |path: &str| find(path, &settings, &home);
        assert_eq!(find("~").unwrap(), Found::Directory(home.clone()));
        assert_eq!(find("~/work").unwrap(), Found::Directory(home.join("work")));
        assert_eq!(find("~/work/a/b").unwrap(), Found::Missing(home.join("work/a/b")));
    }

    #[test]
    fn nothing_leads_out_of_the_roots() {
        let base = tempfile::tempdir().unwrap();
        let (settings, home) = at(base.path());
        fs::create_dir(base.path().join("outside")).unwrap();
        symlink(base.path().join("outside"), home.join("link")).unwrap();
        symlink(base.path().join("nowhere"), home.join("dangling")).unwrap();
        let code = |path: &str| find(path, &settings, &home).unwrap_err().code;
        assert_eq!(code("/etc"), Code::Forbidden);
        assert_eq!(code("~/link"), Code::Forbidden);
        assert_eq!(code("~/link/new"), Code::Forbidden);
        assert_eq!(code("~/dangling"), Code::BadParams);
        assert_eq!(code("~/dangling/x"), Code::BadParams);
        assert_eq!(code("~/work/../../outside"), Code::BadParams);
        assert_eq!(code(&format!("{}er", home.display())), Code::Forbidden);
        assert_eq!(code("relative"), Code::BadParams);
        // Happy never answers this one.
        assert_eq!(code("/proc/nope/x"), Code::Forbidden);
        fs::write(home.join("file"), "").unwrap();
        assert_eq!(code("~/file"), Code::BadParams);
        assert_eq!(code("~/file/x"), Code::BadParams);
    }
}
