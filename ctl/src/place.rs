//! Where this user's daemon lives: the common rule, fed with this process's environment.

use std::path::Path;

use delight_proto::place::Place;
use nix::unistd::{User, getuid};

use crate::failure::Failure;

/// Finds the directories.
///
/// # Errors
/// Those of [`Place::resolve`].
pub(crate) fn resolve() -> Result<Place, Failure> {
    let uid = getuid();
    // The user database can be a network away: it is asked only when the environment does not say.
    let home = match std::env::var_os("HOME") {
        Some(home) if Path::new(&home).is_absolute() => None,
        _ => User::from_uid(uid).ok().flatten().map(|user| user.dir),
    };
    Ok(Place::resolve(|name| std::env::var_os(name), uid.as_raw(), home.as_deref())?)
}
