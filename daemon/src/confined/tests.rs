use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use delight_proto::sync::bounded::Name;
use delight_proto::sync::rpc::EntryKind;
use nix::sys::stat::Mode;

use super::*;
use delight_proto::sync::rpc::ExpectedHash;

const ROOM: usize = 100_000;

struct World {
    base: tempfile::TempDir,
    files: Confined,
}

impl World {
    /// `root/` with a file in it, and a secret beside it.
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        let root = base.path().join("root");
        fs::create_dir_all(root.join("dir")).unwrap();
        fs::create_dir(root.join("kept")).unwrap();
        fs::write(root.join("dir/file"), "inside").unwrap();
        fs::write(root.join("kept/key"), "secret").unwrap();
        fs::write(base.path().join("secret"), "secret").unwrap();
        let files = Confined::open(&root, &[root.join("kept")]).unwrap();
        Self { base, files }
    }

    fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }

    fn code(&self, path: &str) -> Code {
        self.files.read(path, ROOM).unwrap_err().code
    }
}

#[test]
fn files_are_reached_by_relative_and_by_whole_paths() {
    let world = World::new();
    let whole = world.root().join("dir/file");
    for path in ["dir/file", "./dir/../dir/file", whole.to_str().unwrap()] {
        assert_eq!(world.files.read(path, ROOM).unwrap(), b"inside", "{path}");
    }
    assert_eq!(world.code("dir/none"), Code::NotFound);
}

#[test]
fn a_root_named_by_a_link_is_reached_by_that_name_too() {
    let world = World::new();
    let link = world.base.path().join("link");
    symlink(world.root(), &link).unwrap();
    let files = Confined::open(&link, &[]).unwrap();
    for path in [link.join("dir/file"), world.root().join("dir/file")] {
        assert_eq!(files.read(path.to_str().unwrap(), ROOM).unwrap(), b"inside");
    }
}

#[test]
fn no_path_leads_out() {
    let world = World::new();
    symlink("../secret", world.root().join("out")).unwrap();
    symlink("..", world.root().join("up")).unwrap();
    symlink("/etc/passwd", world.root().join("absolute")).unwrap();
    let beside = format!("{}x/file", world.root().display());
    for path in ["../secret", "dir/../../secret", "/etc/passwd", "out", "up/secret", "absolute", &beside, "/"]
    {
        let refusal = world.files.read(path, ROOM).unwrap_err();
        assert_eq!(refusal.code, Code::Forbidden, "{path}: {refusal}");
        assert!(refusal.to_string().contains("outside the working directory"), "{refusal}");
    }
    for path in ["out", "up/new", "../new"] {
        assert_eq!(world.files.write(path, b"x", &ExpectedHash::Any).unwrap_err().code, Code::Forbidden);
    }
    assert_eq!(fs::read(world.base.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn what_is_kept_is_out_of_bounds_by_every_name() {
    let world = World::new();
    symlink("kept", world.root().join("alias")).unwrap();
    symlink("kept/key", world.root().join("alias-of-key")).unwrap();
    for path in ["kept/key", "alias/key", "alias-of-key", "dir/../kept/key"] {
        assert_eq!(world.code(path), Code::Forbidden, "{path}");
    }
    for path in ["kept", "alias"] {
        assert_eq!(world.files.list(path, ROOM).unwrap_err().code, Code::Forbidden);
        let new = format!("{path}/new");
        assert_eq!(world.files.write(&new, b"x", &ExpectedHash::Any).unwrap_err().code, Code::Forbidden);
    }
    let tree = world.files.tree(".", 5, ROOM).unwrap();
    let kept = tree.children.unwrap().into_iter().find(|node| node.entry.name == "kept").unwrap();
    assert_eq!(kept.children, None);
}

/// The classic race: the directory is a directory when it is looked at and a link when it is used.
#[test]
fn a_directory_swapped_for_a_link_while_it_is_used_leads_nowhere() {
    let world = World::new();
    let (at, aside, link) = (world.root().join("dir"), world.root().join("aside"), world.root().join("link"));
    fs::create_dir(world.base.path().join("outside")).unwrap();
    fs::write(world.base.path().join("outside/file"), "secret").unwrap();
    symlink("../outside", &link).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                fs::rename(&at, &aside).unwrap();
                fs::rename(&link, &at).unwrap();
                fs::rename(&at, &link).unwrap();
                fs::rename(&aside, &at).unwrap();
            }
        });
        let (mut inside, mut n) = (0, 0);
        // Until it was seen in place, too: the other thread may be kept from going on for as long as all this takes.
        while n < 3_000 || inside == 0 {
            n += 1;
            match world.files.read("dir/file", ROOM) {
                Ok(content) => {
                    assert_eq!(content, b"inside");
                    inside += 1;
                }
                Err(refusal) => assert!(
                    matches!(refusal.code, Code::Forbidden | Code::NotFound | Code::Storage),
                    "{refusal}"
                ),
            }
            let _ = world.files.write(&format!("dir/new{}", n % 4), b"x", &ExpectedHash::Any);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(world.base.path().join("outside")).unwrap().count(), 1, "written outside");
}

#[test]
fn pipes_devices_and_proc_are_neither_read_nor_waited_for() {
    let world = World::new();
    nix::unistd::mkfifo(&world.root().join("pipe"), Mode::S_IRWXU).unwrap();
    assert_eq!(world.code("pipe"), Code::BadParams);
    assert_eq!(world.files.write("pipe", b"x", &ExpectedHash::Any).unwrap_err().code, Code::BadParams);
    assert_eq!(world.code("dir"), Code::BadParams);
    let whole = Confined::open(Path::new("/"), &[]).unwrap();
    for path in ["proc/self/environ", "/proc/self/environ", "/proc/version", "/sys/kernel/mm"] {
        assert!(
            matches!(whole.read(path, ROOM).unwrap_err().code, Code::Forbidden | Code::NotFound),
            "{path}"
        );
    }
    assert_eq!(whole.read("/dev/zero", ROOM).unwrap_err().code, Code::BadParams);
    assert!(whole.list("/proc", ROOM).is_err());
}

#[test]
fn a_huge_file_is_refused_by_what_was_read_not_by_what_it_says() {
    let world = World::new();
    let huge = fs::File::create(world.root().join("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert_eq!(world.code("huge"), Code::TooLarge);
    fs::write(world.root().join("fits"), vec![b'x'; ROOM]).unwrap();
    assert_eq!(world.files.read("fits", ROOM).unwrap().len(), ROOM);
}

#[test]
fn a_write_is_whole_keeps_the_mode_and_answers_with_the_hash() {
    let world = World::new();
    let hash = world.files.write("new", b"hello\n", &ExpectedHash::Absent).unwrap();
    assert_eq!(hash, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
    fs::set_permissions(world.root().join("new"), fs::Permissions::from_mode(0o750)).unwrap();
    let expected = ExpectedHash::Is(Name::new(hash.to_uppercase()).unwrap());
    world.files.write("new", b"two", &expected).unwrap();
    assert_eq!(fs::read(world.root().join("new")).unwrap(), b"two");
    assert_eq!(fs::metadata(world.root().join("new")).unwrap().permissions().mode() & 0o777, 0o750);
    let left = world.files.list(".", ROOM).unwrap();
    assert!(left.iter().all(|entry| !entry.name.contains("tmp")), "{left:?}");
}

#[test]
fn what_is_not_as_expected_is_left_as_it_is() {
    let world = World::new();
    let refusal = world.files.write("dir/file", b"x", &ExpectedHash::Absent).unwrap_err();
    assert_eq!(refusal.code, Code::Conflict);
    let expected = ExpectedHash::Is(Name::new("00").unwrap());
    let refusal = world.files.write("dir/file", b"x", &expected).unwrap_err();
    assert!(refusal.to_string().starts_with("File hash mismatch."), "{refusal}");
    assert!(refusal.reason.starts_with("Expected: 00, Actual: "), "{refusal}");
    assert!(world.files.write("dir/none", b"x", &expected).is_err());
    assert_eq!(fs::read(world.root().join("dir/file")).unwrap(), b"inside");
    assert!(!world.root().join("dir/none").exists());
    assert_eq!(world.files.write("none/file", b"x", &ExpectedHash::Any).unwrap_err().code, Code::NotFound);
}

#[test]
fn listings_are_sorted_bounded_and_show_links_as_something_else() {
    let world = World::new();
    symlink("/", world.root().join("a-link")).unwrap();
    let entries = world.files.list(".", ROOM).unwrap();
    let shown: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect();
    assert_eq!(
        shown,
        [("a-link", EntryKind::Other), ("dir", EntryKind::Directory), ("kept", EntryKind::Directory)]
    );
    let tree = world.files.tree("", 2, ROOM).unwrap();
    let children = tree.children.unwrap();
    assert_eq!(children[0].children, None, "a link is not followed");
    let inner = children[1].children.as_ref().unwrap();
    assert_eq!((inner[0].entry.name.as_str(), inner[0].entry.size), ("file", Some(6)));
    assert!(inner[0].path.ends_with("root/dir/file"), "{}", inner[0].path);
    assert_eq!(world.files.tree(".", 1, ROOM).unwrap().children.unwrap()[1].children, None);
    for n in 0..200 {
        fs::write(world.root().join(format!("\u{1}\u{1}\u{1}{n}")), "").unwrap();
    }
    let most = 30_000;
    match world.files.list(".", most) {
        Ok(entries) => assert!(serde_json::to_string(&entries).unwrap().len() <= most),
        Err(refusal) => assert_eq!(refusal.code, Code::TooLarge),
    }
    assert_eq!(world.files.list(".", 2_000).unwrap_err().code, Code::TooLarge);
    let fits = serde_json::to_string(&world.files.list(".", ROOM).unwrap()).unwrap().len();
    assert!(fits <= ROOM, "{fits}");
}
