//! The promise of the project: `kill -9` of the daemon at any moment loses nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delight_proto::api::method::{
    OutputBody, OutputFrom, OutputParams, SendParams, SessionOutput, SessionSend, SessionSpawn, SessionStop,
    StopParams,
};
use delight_proto::holder::{Attach, FromHolder, ToHolder};
use delight_proto::id::SessionId;
use delight_proto::session::{Exit, Phase, Size};
use delight_tests::api::{Client, spawn};
use delight_tests::attached::{controller, viewer};
use delight_tests::{Sandbox, kernel, until};

/// How often the daemon is killed.
const KILLS: u32 = 100;

/// Lines of one burst: some 110 KB, about as long as a round in a build without optimisation.
const BURST: u64 = 10_000;

/// A small generator of our own, so that a printed seed means the same run everywhere (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

fn seed() -> u64 {
    let seed = match std::env::var("DELIGHT_CHAOS_SEED") {
        Ok(text) => text.parse().expect("DELIGHT_CHAOS_SEED is a number"),
        Err(_) => std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 % 1_000_000,
    };
    println!(
        "replay the moments with: DELIGHT_CHAOS_SEED={seed} cargo test -p delight-tests --test it chaos"
    );
    seed
}

/// Lets a random moment pass: the subject of this test is that no moment is special.
fn random_moment(dice: &mut Dice) {
    let end = Instant::now() + Duration::from_micros(dice.roll(60_000));
    while Instant::now() < end {
        std::thread::yield_now();
    }
}

/// 100 times `kill -9` under a session that prints numbered lines as fast as it can, one that is typed into, and spawns,
/// stops and exits going on: every byte once, the registry as the kernel says, real exit statuses, no orphan, no
/// duplicate holder.
#[test]
fn kill9_daemon_mid_flood_byte_equal() {
    let mut dice = Dice(seed());
    let sandbox = Sandbox::new();
    let mut daemon = Some(sandbox.start_daemon());
    let mut client = sandbox.client();

    // The flood: every round sets off another burst of numbered lines, faster than anybody reads.
    let agent = delight_tests::binaries::program("delight-fake-agent");
    let script = format!("raw; say ready; read; lines {BURST}; repeat");
    let mut params = spawn(&[agent.to_str().unwrap(), "--script", &script]);
    params.retain_bytes = Some(1 << 30);
    let flooding = client.call::<SessionSpawn>(&params).unwrap();
    let flood = flooding.id;
    client.until_output(flood, "ready");
    let mut start = sandbox.attach(flood);
    start.hello(controller(Attach::Nothing, Size::default()));
    // Raw as well, so that the terminal's echo does not come between the lines.
    let typed = client.spawn_script("raw; say ready; read; repeat").id;
    let mut keys = sandbox.attach(typed);
    keys.hello(controller(Attach::Screen, Size::default()));
    keys.output_until("ready");

    let mut words = 0u32;
    let mut sent = BTreeSet::new();
    let mut exits: Vec<(SessionId, u8)> = Vec::new();
    let mut stops: Vec<SessionId> = Vec::new();
    for round in 0..KILLS {
        // Work in flight while the knife falls: whether it was answered decides what must be true of it.
        let code = u8::try_from(round % 200).unwrap();
        let mut params = spawn(&["/bin/sh", "-c", &format!("exit {code}")]);
        params.request_id = Some(format!("round-{round}").parse().unwrap());
        let spawning = client.send::<SessionSpawn>(&params);
        let word = format!("sent-{round:04}");
        let data = BASE64_STANDARD.encode(format!("{word}\n"));
        let sending =
            client.send::<SessionSend>(&SendParams { session: typed.to_string(), data, request_id: None });
        start.input(b"\n");
        for _ in 0..dice.roll(5) {
            keys.input(format!("word-{words:06}\n").as_bytes());
            words += 1;
        }
        random_moment(&mut dice);
        daemon.take().unwrap().kill9();
        drop(client);
        let _ = (spawning, sending);
        sent.insert(word);

        daemon = Some(sandbox.start_daemon());
        client = sandbox.client();
        // The caller who never got an answer asks again with the same request id.
        let again = client.call::<SessionSpawn>(&params).expect("a spawn is answered");
        exits.push((again.id, code));
        if dice.roll(4) == 0 {
            let id = client.spawn_script("hang").id;
            // The answer is not waited for: it may fall into the next crash.
            let stop = StopParams { session: id.to_string(), kill: true, grace_ms: None };
            sandbox.client().send::<SessionStop>(&stop).unwrap();
            stops.push(id);
        }
    }

    // Every typed word arrived once and in order; text sent by the API arrived at most once.
    keys.input(b"last\n");
    until("the last word arrives", || String::from_utf8_lossy(&client.output(typed)).contains("got: last"));
    let output = String::from_utf8(client.output(typed)).unwrap();
    let got: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix("got: ")).collect();
    let by_hand: Vec<&str> = got.iter().copied().filter(|line| line.starts_with("word-")).collect();
    let wanted: Vec<String> = (0..words).map(|n| format!("word-{n:06}")).collect();
    assert_eq!(by_hand, wanted, "typed words: each once, in order");
    for word in &sent {
        assert!(got.iter().filter(|line| *line == word).count() <= 1, "{word} arrived twice");
    }

    check_flood(&mut client, flood);

    // Statuses are real.
    kernel::signal(flooding.pid.unwrap(), nix::sys::signal::Signal::SIGUSR1);
    let ended = client.wait(flood, &[]);
    assert_eq!((ended.phase, ended.exit), (Phase::Exited, Some(Exit::Signal(10))));
    for (id, code) in exits {
        let view = client.wait(id, &[]);
        assert_eq!((view.phase, view.exit), (Phase::Exited, Some(Exit::Code(i32::from(code)))), "{view:?}");
    }
    for id in stops {
        client
            .call::<SessionStop>(&StopParams { session: id.to_string(), kill: true, grace_ms: None })
            .unwrap();
        assert!(!client.get(id).phase.is_live());
    }
    keys.send(&ToHolder::ReleaseControl).unwrap();
    registry_matches_kernel(&sandbox, &mut client);
    client
        .call::<SessionStop>(&StopParams { session: typed.to_string(), kill: true, grace_ms: None })
        .unwrap();
    until("no holder and no runner is left", || sandbox.holders().is_empty() && sandbox.runners().is_empty());
}

/// Every byte of every burst is there once, in order.
fn check_flood(client: &mut Client, id: SessionId) {
    // In raw mode nothing is added to what is printed: a head, then lines of ten digits and a line feed.
    const HEAD: &[u8] = b"ready\ngot: \n";
    let head = HEAD.len() as u64;
    let period = head + BURST * 11;
    let end = u64::from(KILLS) * period + "ready\n".len() as u64;
    until("all bursts are printed", || {
        let tail = OutputParams {
            session: id.to_string(),
            from: OutputFrom::Tail(0),
            max_bytes: 1,
            input: false,
            wait_ms: 0,
        };
        client.call::<SessionOutput>(&tail).unwrap().end_offset >= end
    });
    let mut next = 0;
    for record in client.journal(id) {
        let OutputBody::Output { data } = record.body else {
            assert!(!matches!(record.body, OutputBody::Lost { .. }), "the journal lost bytes: {record:?}");
            continue;
        };
        assert_eq!(record.offset, next, "a gap or a repetition");
        for (at, byte) in (record.offset..).zip(BASE64_STANDARD.decode(data).unwrap()) {
            let wanted = match (at % period).checked_sub(head) {
                None => HEAD[usize::try_from(at % period).unwrap()],
                Some(inside) if inside % 11 == 10 => b'\n',
                Some(inside) => {
                    let (line, column) = (inside / 11 + 1, u32::try_from(inside % 11).unwrap());
                    b'0' + u8::try_from(line / 10u64.pow(9 - column) % 10).unwrap()
                }
            };
            assert_eq!(byte, wanted, "byte {at} of the flood");
            next = at + 1;
        }
    }
    assert_eq!(next, end, "the flood is whole");
}

/// What the registry says is alive is alive, and nothing else is.
fn registry_matches_kernel(sandbox: &Sandbox, client: &mut Client) {
    until("the registry says what the kernel says", || {
        let live: Vec<_> = client.list().into_iter().filter(|view| view.phase.is_live()).collect();
        let told: BTreeSet<u32> = live.iter().map(|v| v.holder.as_ref().unwrap().process.pid).collect();
        let real: BTreeSet<u32> = sandbox.holders().iter().map(|process| process.pid).collect();
        let runners: BTreeSet<u32> = live.iter().filter_map(|view| view.pid).collect();
        let real_runners: BTreeSet<u32> = sandbox.runners().iter().map(|process| process.pid).collect();
        told == real && told.len() == live.len() && runners == real_runners
    });
    for view in client.list().into_iter().filter(|view| view.phase.is_live()) {
        let identity = view.holder.unwrap().process;
        let process = kernel::process(identity.pid).unwrap();
        assert_eq!((process.start_time, kernel::boot_id()), (identity.start_time, identity.boot_id));
        assert_eq!(kernel::process(view.pid.unwrap()).unwrap().parent, identity.pid);
    }
}

/// A viewer that follows by offset through daemon crashes sees each byte once.
#[test]
fn a_follower_sees_every_byte_once_while_daemons_come_and_go() {
    let (sandbox, daemon) = Sandbox::with_daemon();
    let id = sandbox.client().spawn_script("raw; lines 200000; hang").id;
    let mut follower = sandbox.attach(id);
    follower.hello(viewer(Attach::Offset(0)));
    let mut daemon = Some(daemon);
    let mut next = 0u64;
    let mut all = Vec::new();
    while next < 2_200_000 {
        match follower.frame().unwrap() {
            FromHolder::Output { offset, bytes } => {
                assert_eq!(offset, next, "the next byte");
                next += bytes.len() as u64;
                all.extend(bytes);
            }
            FromHolder::Lost { from, to } => panic!("{from}..{to} is lost"),
            _ => {}
        }
        if daemon.is_some() && next > 500_000 {
            daemon.take().unwrap().kill9();
        }
    }
    let wanted: Vec<u8> = (1..=200_000).flat_map(|n| format!("{n:010}\n").into_bytes()).collect();
    assert!(all == wanted, "the bytes are not the lines that were printed");
    let _daemon = sandbox.start_daemon();
    assert_eq!(sandbox.client().get(id).phase, Phase::Running);
}
