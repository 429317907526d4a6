//! Paths as text: what links there are has been resolved before.

/// `path` as seen from `cwd`, absolute, without `.`, `..` and doubled slashes; none when neither is absolute.
pub(super) fn normal(cwd: &str, path: &str) -> Option<String> {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{cwd}/{path}") };
    if !whole.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// Whether a normal path is the directory or lies below it.
pub(super) fn below(directory: &str, path: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_and_never_climb_above_the_root() {
        for (path, want) in [
            ("a", "/w/a"),
            ("/a//b/./c/", "/a/b/c"),
            ("../../../../etc", "/etc"),
            ("a/../b", "/w/b"),
            ("", "/w"),
        ] {
            assert_eq!(normal("/w", path).as_deref(), Some(want));
        }
        assert_eq!(normal("w", "a"), None);
    }

    #[test]
    fn a_name_that_only_begins_alike_is_not_below() {
        assert!(
            below("/src", "/src")
                && below("/src", "/src/a")
                && below("/", "/etc")
                && below("/src/", "/src/a")
        );
        assert!(!below("/src", "/srcs") && !below("/src/a", "/src"));
    }
}
