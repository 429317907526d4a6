//! Where paths really lead.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use delight_proto::session::bounds::PATH_BYTES;

/// Paths of one request that are looked at; a request that names more is one no rule about paths allows.
const MAX_PATHS: usize = 256;

/// Links followed for one path: what Linux itself follows.
const MAX_LINKS: usize = 40;

/// The path without links, `.` and `..`, absolute. A link is followed also when nothing is there (yet) where it leads: to
/// write through it makes the file there. From the first component on that does not exist, or cannot be looked at, the
/// rest is taken by its words. Of a circle of links the rest stays as it is written: nothing can be opened there. Blocks
/// on the disk.
pub(crate) fn resolved(cwd: &str, path: &str) -> String {
    let whole = Path::new(cwd).join(path);
    if whole.as_os_str().len() > PATH_BYTES {
        return whole.to_string_lossy().into_owned();
    }
    let mut left = components(&whole);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(next) = left.pop() {
        if next == ".." {
            at.pop();
            continue;
        }
        at.push(&next);
        let Ok(target) = at.read_link() else { continue };
        links += 1;
        if links > MAX_LINKS {
            continue;
        }
        at.pop();
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        left.extend(components(&target));
    }
    at.to_string_lossy().into_owned()
}

/// The components that lead somewhere, last first.
fn components(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.map(|part| part.as_os_str().to_owned()).rev().collect()
}

/// [`resolved`] for the paths of a request. Of more than a request may name, the rest becomes the root: below no other
/// directory, and above every one a rule forbids. Blocks on the disk.
pub(crate) fn resolved_all(cwd: &str, paths: &[String]) -> Vec<String> {
    let mut all: Vec<String> = paths.iter().take(MAX_PATHS).map(|path| resolved(cwd, path)).collect();
    if paths.len() > MAX_PATHS {
        all.push("/".to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_as_far_as_there_is_something() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        let at = |name: &str| base.join(name).to_str().unwrap().to_owned();
        std::fs::create_dir_all(base.join("real/deep")).unwrap();
        symlink(base.join("real/deep"), base.join("link")).unwrap();
        let cwd = base.to_str().unwrap();
        assert_eq!(resolved(cwd, "link"), at("real/deep"));
        assert_eq!(resolved(cwd, "link/new/file"), at("real/deep/new/file"));
        assert_eq!(resolved(cwd, "link/.."), at("real"), "above what the link means, not above the link");
        assert_eq!(resolved(cwd, &at("none/x")), at("none/x"));
        symlink(base.join("missing/deep"), base.join("dangling")).unwrap();
        assert_eq!(
            resolved(cwd, "dangling/new"),
            at("missing/deep/new"),
            "written through, it is made there"
        );
        symlink("loop", base.join("loop")).unwrap();
        assert_eq!(resolved(cwd, "loop/x"), at("loop/x"));
        assert_eq!(resolved(cwd, "/../../.."), "/");
        assert_eq!(resolved_all(cwd, &vec!["link".to_owned(); 300]).last().unwrap(), "/");
    }
}
