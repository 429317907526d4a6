//! The holder protocol's promise to the future: bytes of version 1, saved once, are understood for ever.
//!
//! `transcripts/v1-to-holder.bin` is what a daemon and a client of version 1 send, `v1-from-holder.bin` what a holder of
//! version 1 answers: every frame type there was, written when version 1 was made. **They are never written anew.** A
//! later version adds files of its own.

use std::path::PathBuf;

use delight_proto::holder::frame::OPTIONAL;
use delight_proto::holder::{Attach, Decoder, FromHolder, OLDEST, ToHolder, VERSION};
use delight_proto::id::ProcessIdentity;
use delight_proto::session::{Exit, Size};
use delight_tests::{Sandbox, until};

fn saved(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/transcripts");
    std::fs::read(folder.join(name)).unwrap()
}

fn from_holder() -> Vec<FromHolder> {
    let mut decoder = Decoder::new();
    decoder.push(&saved("v1-from-holder.bin"));
    let mut frames = Vec::new();
    while let Some(raw) = decoder.next_frame().unwrap() {
        frames.push(FromHolder::parse(raw).unwrap().expect("every type of version 1 is known"));
    }
    assert_eq!(decoder.pending(), 0);
    frames
}

fn to_holder() -> Vec<ToHolder> {
    let mut decoder = Decoder::new();
    decoder.push(&saved("v1-to-holder.bin"));
    let mut frames = Vec::new();
    while let Some(raw) = decoder.next_frame().unwrap() {
        frames.push(ToHolder::parse(raw).unwrap().expect("every type of version 1 is known"));
    }
    assert_eq!(decoder.pending(), 0);
    frames
}

/// What a newer daemon reads from an old holder still means what it meant.
#[test]
fn an_old_holders_frames_mean_what_they_meant() {
    let size = Size { cols: 132, rows: 43 };
    let process = ProcessIdentity {
        pid: 4242,
        start_time: 987_654,
        boot_id: "c810ec47-a562-461b-947a-3523b30221be".to_owned(),
    };
    let frames = from_holder();
    let mut frames = frames.iter();
    let mut next = || frames.next().unwrap();
    let FromHolder::Welcome(welcome) = next() else { panic!("a welcome comes first") };
    assert_eq!((welcome.version, welcome.generation, welcome.size), (1, 3, size));
    assert_eq!(welcome.session.as_str(), "0123456789abcdef");
    assert_eq!(welcome.process, process);
    assert_eq!(welcome.runner.as_ref().map(|runner| (runner.generation, runner.offset)), Some((3, 1000)));
    assert_eq!(welcome.exited.as_ref().map(|exited| exited.exit), Some(Exit::Code(7)));
    assert_eq!((welcome.start_offset, welcome.end_offset, welcome.control), (100, 5000, true));
    assert_eq!(welcome.troubles, ["the disk is full"]);
    assert!(
        matches!(next(), FromHolder::Started(started) if started.generation == 3 && started.process == process)
    );
    assert!(matches!(next(), FromHolder::StartFailed(failed) if failed.refusal.fix == "install it"));
    assert!(
        matches!(next(), FromHolder::Screen { offset: 5000, size: s, more: true, bytes } if *s == size && bytes == b"\x1b[H")
    );
    assert!(matches!(next(), FromHolder::Screen { more: false, bytes, .. } if bytes == b"two"));
    assert!(matches!(next(), FromHolder::Output { offset: 5000, bytes } if bytes == b"hello\r\n\xff\x00"));
    assert!(matches!(next(), FromHolder::Lost { from: 10, to: 100 }));
    assert!(matches!(next(), FromHolder::Resized(s) if *s == size));
    assert!(matches!(next(), FromHolder::InputDone { tag: 77 }));
    assert!(
        matches!(next(), FromHolder::InputFailed { tag: 78, refusal } if refusal.what == "the input was not written")
    );
    assert!(
        matches!(next(), FromHolder::Control(change) if !change.you && change.by.as_deref() == Some("somebody"))
    );
    assert!(matches!(next(), FromHolder::Trouble(trouble) if trouble.troubles.is_empty()));
    assert!(matches!(next(), FromHolder::Refused(_)));
    assert!(
        matches!(next(), FromHolder::Exited(e) if e.exit == Exit::Signal(9) && e.survivors == 2 && e.offset == 5009)
    );
    assert!(matches!(next(), FromHolder::TreeGone { generation: 3 }));
    assert!(frames.next().is_none());
}

/// The present code writes those very bytes: nothing about version 1 has drifted.
#[test]
fn the_present_code_writes_the_same_bytes() {
    let mut bytes = Vec::new();
    for frame in from_holder() {
        frame.encode(&mut bytes);
    }
    assert!(bytes == saved("v1-from-holder.bin"), "from the holder");
    bytes.clear();
    for frame in to_holder() {
        frame.encode(&mut bytes);
    }
    assert!(bytes == saved("v1-to-holder.bin"), "to the holder");
    const { assert!(OLDEST <= 1 && VERSION >= 1) };
}

/// What an old client and an old daemon say is understood by the holder of today.
#[test]
fn an_old_daemons_bytes_drive_the_present_holder() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let mut client = sandbox.client();
    let view = client.spawn_script("say ready; read; repeat");
    client.until_output(view.id, "ready");
    daemon.kill9();

    let mut holder = sandbox.attach(view.id);
    let frames = to_holder();
    let raw: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            bytes
        })
        .collect();
    // The saved conversation: hello as a controlling daemon, take control, resize, input, start (refused: one is alive),
    // release, signal the tree, close.
    let mut all = raw.iter();
    holder.send_raw(all.next().unwrap()).unwrap();
    let FromHolder::Welcome(welcome) = holder.frame().unwrap() else { panic!("no welcome") };
    assert!(welcome.version >= 1 && welcome.session == view.id && welcome.control);
    for bytes in all {
        if holder.send_raw(bytes).is_err() {
            break;
        }
    }
    holder.expect("the input is written", |frame| {
        matches!(frame, FromHolder::InputDone { tag: 77 }).then_some(())
    });
    holder.expect("a second start is refused", |frame| {
        matches!(frame, FromHolder::Refused(_) | FromHolder::StartFailed(_)).then_some(())
    });
    let exit = holder.expect("the tree is signalled", |frame| match frame {
        FromHolder::Exited(exited) => Some(exited.exit),
        _ => None,
    });
    assert_eq!(exit, Exit::Signal(15));
    until("the holder has gone", || sandbox.holders().is_empty());
    let _daemon = sandbox.start_daemon();
    assert_eq!(sandbox.client().get(view.id).exit, Some(Exit::Signal(15)));
}

/// A newer client says a higher version and sends a frame nobody knows yet: one marked optional is skipped, and the holder
/// answers with its own version.
#[test]
fn the_present_holder_welcomes_a_newer_client() {
    let (sandbox, _daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn_script("say ready; hang").id;
    let mut newer = sandbox.attach(id);
    let mut hello = delight_tests::attached::viewer(Attach::Offset(0));
    hello.version = 999;
    assert_eq!(newer.hello(hello).version, VERSION);
    let unknown = delight_proto::holder::frame::header(0x6f, OPTIONAL, 3);
    newer.send_raw(&[&unknown[..], b"new"].concat()).unwrap();
    newer.output_until("ready");
    let mut needed = sandbox.attach(id);
    needed.hello(delight_tests::attached::viewer(Attach::Nothing));
    needed.send_raw(&delight_proto::holder::frame::header(0x6f, 0, 0)).unwrap();
    needed.until_closed();
}
