//! Where paths really lead.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use delight_proto::session::bounds::PATH_BYTES;

/// Paths of one request that are looked at; a request that names more is one no rule about paths allows.
const MAX_PATHS: usize = 256;

/// The path with every link in it followed, as far as it exists; what does not exist yet is kept as it is written. Blocks
/// on the disk.
pub(crate) fn resolved(cwd: &str, path: &str) -> String {
    let whole = Path::new(cwd).join(path);
    if whole.as_os_str().len() > PATH_BYTES {
        return whole.to_string_lossy().into_owned();
    }
    let mut missing: Vec<OsString> = Vec::new();
    let mut at = whole.as_path();
    let found = loop {
        match at.canonicalize() {
            Ok(found) => break found,
            Err(_) => {
                let Some(above) = at.parent() else { break PathBuf::from("/") };
                // `file_name` leaves `..` out; the component does not.
                missing.extend(
                    at.components().next_back().map(|part: Component<'_>| part.as_os_str().to_owned()),
                );
                at = above;
            }
        }
    };
    let mut path = found;
    path.extend(missing.into_iter().rev());
    path.to_string_lossy().into_owned()
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
        assert_eq!(resolved_all(cwd, &vec!["link".to_owned(); 300]).last().unwrap(), "/");
    }
}
