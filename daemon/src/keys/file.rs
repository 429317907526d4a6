//! The key file: written whole or not at all, created only where there is none, never replaced, read with suspicion.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use delight_crypto::{ContentPublic, DataKey, MasterSecret};
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounded::Id;
use delight_transport::endpoint::Endpoint;
use delight_transport::secret::Token;
use nix::fcntl::OFlag;
use nix::unistd::getuid;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::settings::Family;
use super::{Account, Linked};
use crate::paths;

/// The version this daemon writes and reads.
const VERSION: u32 = 1;

/// Largest key file read: a token of 4 KiB and a few keys.
const MAX_BYTES: u64 = 16 << 10;

/// What the file holds, as JSON. Secrets are base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Stored {
    version: u32,
    server: String,
    dialect: Family,
    machine: Id,
    machine_key: String,
    account: StoredAccount,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "holds", rename_all = "kebab-case", deny_unknown_fields)]
enum StoredAccount {
    Secret { secret: String },
    ContentKey { content: String, token: String },
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.machine_key.zeroize();
        match &mut self.account {
            StoredAccount::Secret { secret } => secret.zeroize(),
            StoredAccount::ContentKey { token, .. } => token.zeroize(),
        }
    }
}

fn path(place: &Place) -> PathBuf {
    place.account().join("key.json")
}

/// Reads the key file; `None` when there is none.
///
/// # Errors
/// `storage` or `forbidden`: it is there and cannot be used. Nothing of its contents is repeated.
pub(super) fn read(place: &Place) -> Result<Option<Linked>, Refusal> {
    let path = path(place);
    let file = match open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(unusable(&path, &e.to_string())),
    };
    check_private(&path, &file)?;
    let mut text = Zeroizing::new(Vec::new());
    file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(|e| unusable(&path, &e.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(unusable(&path, &format!("it is larger than {MAX_BYTES} bytes")));
    }
    parse(&text).map(Some).map_err(|reason| unusable(&path, &reason))
}

/// A link in its place, or a pipe, is not followed and not waited for.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)
}

fn check_private(path: &Path, file: &File) -> Result<(), Refusal> {
    let found = file.metadata().map_err(|e| unusable(path, &e.to_string()))?;
    if !found.is_file() {
        return Err(unusable(path, "it is not a file"));
    }
    let refuse = |reason: String, fix: String| {
        Err(Refusal::new(Code::Forbidden, format!("the key file {} cannot be used", path.display()), reason)
            .fix(fix))
    };
    if found.uid() != getuid().as_raw() {
        return refuse(format!("it belongs to uid {}", found.uid()), "make it your own".to_owned());
    }
    if found.mode() & 0o077 != 0 {
        return refuse(
            format!("others can read it (mode {:03o})", found.mode() & 0o777),
            format!("chmod 600 {}; if others may have read it, unpair and pair again", path.display()),
        );
    }
    Ok(())
}

fn unusable(path: &Path, reason: &str) -> Refusal {
    Refusal::new(
        Code::Storage,
        format!("the key file {} cannot be used", path.display()),
        format!("{reason}; it is left as it is, because it may be the only copy of the account's keys"),
    )
    .fix("restore it from a backup and start the daemon again, or move it away to begin anew")
}

fn parse(text: &[u8]) -> Result<Linked, String> {
    // Only where it differs: the message of the reader could repeat a secret.
    let position =
        |e: serde_json::Error| format!("it is damaged at line {}, column {}", e.line(), e.column());
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } = serde_json::from_slice(text).map_err(position)?;
    if version != VERSION {
        return Err(format!("it is of version {version}, and this daemon knows version {VERSION}"));
    }
    let stored: Stored = serde_json::from_slice(text).map_err(position)?;
    let bad = |what: &str, e: &dyn std::fmt::Display| format!("{what}: {e}");
    Endpoint::parse(&stored.server).map_err(|e| bad("its server", &e))?;
    if stored.machine.is_empty() || !stored.machine.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err("its machine id is none".to_owned());
    }
    let account = match &stored.account {
        StoredAccount::Secret { secret } => {
            Account::Secret(MasterSecret::from_base64(secret).map_err(|e| bad("its secret", &e))?)
        }
        StoredAccount::ContentKey { content, token } => Account::Paired {
            content: ContentPublic::from_base64(content).map_err(|e| bad("its content key", &e))?,
            token: Token::new(token.as_str()).map_err(|e| bad("its token", &e))?,
        },
    };
    Ok(Linked {
        server: stored.server.clone(),
        dialect: stored.dialect.into(),
        account,
        machine: stored.machine.clone(),
        machine_key: DataKey::from_base64(&stored.machine_key).map_err(|e| bad("its machine key", &e))?,
    })
}

/// Writes the key file, durable when this returns.
///
/// # Errors
/// `conflict` when there is one, whatever it holds; `storage`.
pub(super) fn create(place: &Place, linked: &Linked) -> Result<(), Refusal> {
    let directory = place.account();
    paths::private_dir(&directory)?;
    let path = path(place);
    let failed = |what: &str, e: std::io::Error| {
        Refusal::new(Code::Storage, "the keys cannot be kept", format!("{what}: {e}"))
            .fix("make room on the disk, and try again")
    };
    let stored = Stored {
        version: VERSION,
        server: linked.server.clone(),
        dialect: linked.dialect.into(),
        machine: linked.machine.clone(),
        machine_key: linked.machine_key.expose_base64().to_string(),
        account: match &linked.account {
            Account::Secret(secret) => StoredAccount::Secret { secret: secret.expose_base64().to_string() },
            Account::Paired { content, token } => {
                StoredAccount::ContentKey { content: content.to_base64(), token: token.expose().to_owned() }
            }
        },
    };
    let text = serde_json::to_vec_pretty(&stored).map(Zeroizing::new);
    let text = text.map_err(|e| failed("writing them", e.into()))?;
    let beside = directory.join("key.json.new");
    // What a crash left there was never a key file.
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed("clearing an unfinished file", e)),
        _ => {}
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()));
    // A link, unlike a rename, never replaces what is there.
    let placed = written.and_then(|()| fs::hard_link(&beside, &path));
    let cleared = fs::remove_file(&beside);
    match placed {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(Refusal::new(
                Code::Conflict,
                "the keys cannot be kept",
                format!("{} is there already and is never replaced", path.display()),
            )
            .fix("delightctl account show; to leave that account: delightctl unpair"));
        }
        Err(e) => return Err(failed(&path.display().to_string(), e)),
    }
    cleared.and_then(|()| sync(&directory)).map_err(|e| failed(&directory.display().to_string(), e))
}

/// Deletes the key file, for good when this returns. It is not overwritten first: on the file systems and disks of today
/// the new bytes would go elsewhere, so it would only look as if it helped.
///
/// # Errors
/// `storage`.
pub(super) fn delete(place: &Place) -> Result<(), Refusal> {
    let path = path(place);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => sync(&place.account()),
    }
    .map_err(|e| {
        Refusal::new(Code::Storage, "the keys cannot be deleted", format!("{}: {e}", path.display()))
            .fix("delete the file by hand and start the daemon again")
    })
}

fn sync(directory: &Path) -> std::io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use delight_crypto::Dialect;

    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        let place = Place { state: at("s"), runtime: at("r"), config: at("c") };
        paths::prepare(&place).unwrap();
        (base, place)
    }

    fn linked(account: Account) -> Linked {
        Linked {
            server: "http://127.0.0.1:3005".to_owned(),
            dialect: Dialect::Happy,
            account,
            machine: Id::new("0c1d2e3f-0000-4000-8000-000000000000").unwrap(),
            machine_key: DataKey::from_bytes([7; 32]),
        }
    }

    fn secret() -> Linked {
        linked(Account::Secret(MasterSecret::from_bytes([9; 32])))
    }

    #[test]
    fn what_is_written_is_read_and_private() {
        let (_base, place) = place();
        assert!(read(&place).unwrap().is_none());
        create(&place, &secret()).unwrap();
        let found = read(&place).unwrap().unwrap();
        assert!(matches!(&found.account, Account::Secret(s) if s.expose() == &[9; 32]));
        assert_eq!((found.machine_key, found.machine), (secret().machine_key, secret().machine));
        assert_eq!(fs::metadata(path(&place)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(place.account()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(place.account()).unwrap().count(), 1, "nothing is left beside it");
        delete(&place).unwrap();
        assert!(read(&place).unwrap().is_none());
    }

    #[test]
    fn the_second_form_of_an_account_is_kept_too() {
        let (_base, place) = place();
        let content = ContentPublic::from_bytes([4; 32]);
        create(&place, &linked(Account::Paired { content, token: Token::new("canary").unwrap() })).unwrap();
        let found = read(&place).unwrap().unwrap();
        assert!(matches!(&found.account, Account::Paired { content: c, token }
            if *c == content && token.expose() == "canary"));
        assert!(!format!("{found:?}").contains("canary"));
    }

    #[test]
    fn a_key_file_is_never_replaced_whatever_it_holds() {
        let (_base, place) = place();
        fs::create_dir(place.account()).unwrap();
        fs::set_permissions(place.account(), fs::Permissions::from_mode(0o700)).unwrap();
        for held in ["", "garbage", "{\"version\":99}"] {
            fs::write(path(&place), held).unwrap();
            assert_eq!(create(&place, &secret()).unwrap_err().code, Code::Conflict);
            assert_eq!(fs::read_to_string(path(&place)).unwrap(), held);
        }
    }

    #[test]
    fn what_a_crash_left_beside_it_is_no_key_file() {
        let (_base, place) = place();
        paths::private_dir(&place.account()).unwrap();
        fs::write(place.account().join("key.json.new"), "half").unwrap();
        assert!(read(&place).unwrap().is_none());
        create(&place, &secret()).unwrap();
        assert!(read(&place).unwrap().is_some());
    }

    #[test]
    fn every_unusable_file_is_refused_with_its_reason_and_none_of_its_content() {
        let (_base, place) = place();
        create(&place, &secret()).unwrap();
        let good = fs::read_to_string(path(&place)).unwrap();
        let key = secret().machine_key.expose_base64().to_string();
        let cases = [
            (String::new(), "damaged"),
            ("canary".to_owned(), "damaged"),
            (good.replace("\"version\": 1", "\"version\": 2"), "version 2"),
            (good.replace("\"server\"", "\"canary\""), "damaged"),
            (good.replace("http://127.0.0.1:3005", "ftp://canary"), "its server"),
            (good.replace(&key, "canary"), "its machine key"),
            (good.replace("0c1d2e3f-", "../"), "machine id"),
            (format!("{good}{}", " ".repeat(MAX_BYTES as usize)), "larger"),
        ];
        for (text, reason) in cases {
            fs::write(path(&place), &text).unwrap();
            let refusal = read(&place).unwrap_err();
            assert!(refusal.reason.contains(reason), "{refusal}");
            assert!(!refusal.fix.is_empty());
            assert!(!format!("{refusal:?}").contains(&key), "{refusal:?}");
            assert_eq!(fs::read_to_string(path(&place)).unwrap(), text, "it is left as it is");
        }
        fs::write(path(&place), &good).unwrap();
        fs::set_permissions(path(&place), fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = read(&place).unwrap_err();
        assert_eq!(refusal.code, Code::Forbidden);
        assert!(refusal.fix.contains("chmod 600"), "{refusal:?}");
        fs::remove_file(path(&place)).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path(&place)).unwrap();
        assert!(read(&place).is_err(), "a link is not followed");
    }
}
