//! Control changes hands: often, at a person's terminal, and while the conversation becomes another.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use delight_proto::agent::{Control, RecordBody};
use delight_proto::api::method::OutputBody;
use delight_proto::session::{Phase, Size};
use delight_tests::terminal::Terminal;
use delight_tests::{binaries, kernel, until, until_some};

use super::life::ends;
use super::rig::Rig;

/// There and back so often: fifty switches.
const ROUNDS: usize = 25;

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// happy #1693, with the real program: fifty switches, a word each turn; nothing is left behind, nothing lost or doubled.
pub(super) fn changes_hands_fifty_times(mut rig: Rig) {
    let holder = rig.view().holder.expect("it has a holder").process.pid;
    let mut before = None;
    for round in 1..=ROUNDS {
        rig.until_idle_at_the_desktop();
        rig.types(&format!("say desk-{round}"));
        rig.until_turns(2 * round - 1);
        rig.switch(Control::Remote);
        rig.prompt(&format!("say phone-{round}"));
        rig.until_turns(2 * round);
        rig.until_idle();
        rig.switch(Control::Local);
        // The first round makes what is made once.
        before.get_or_insert_with(|| (descriptors(rig.daemon_pid()), descriptors(holder)));
    }
    rig.until_idle_at_the_desktop();
    let view = rig.view();
    assert_eq!((view.phase, view.generation), (Phase::Running, 2 * ROUNDS as u64 + 1));
    let runner = view.pid.expect("it runs");
    let of_runner = || {
        let mut own = kernel::descendants(runner);
        own.insert(runner);
        own
    };
    until("only the last program of the agent is left", || {
        let own = of_runner();
        rig.sandbox.runners().iter().all(|process| own.contains(&process.pid))
    });
    let (daemons, holders) = before.expect("there was a round");
    until("no descriptor leaks", || {
        descriptors(rig.daemon_pid()) <= daemons && descriptors(holder) <= holders
    });

    let said: Vec<String> = rig
        .records()
        .into_iter()
        .filter_map(|body| match body {
            RecordBody::Text { text } => Some(text.trim().to_owned()),
            _ => None,
        })
        .collect();
    let wanted: Vec<String> =
        (1..=ROUNDS).flat_map(|round| [format!("desk-{round}"), format!("phone-{round}")]).collect();
    assert_eq!(said, wanted, "every word once, in order");
    let mut next = 0;
    let id = rig.id;
    for record in rig.client().journal(id) {
        assert!(!matches!(record.body, OutputBody::Lost { .. }), "{record:?}");
        if let OutputBody::Output { data } = &record.body {
            assert_eq!(record.offset, next, "no byte is missing");
            next += BASE64_STANDARD.decode(data).unwrap().len() as u64;
        }
    }

    // It is one conversation: the last runner knows the first words.
    rig.switch(Control::Remote);
    rig.prompt("recall");
    let recalled = rig.until_said("recall: ");
    assert!(recalled.contains("say desk-1") && recalled.contains("say phone-25"), "{recalled}");
    ends(rig);
}

/// happy #301, #422–424, with the real program: an attached terminal takes control back at the first try, and every key
/// after that is the agent's.
pub(super) fn is_taken_back_by_two_spaces(mut rig: Rig) {
    let mut command = rig.sandbox.command(binaries::program("delightctl"));
    command.args(["attach", rig.id.as_str()]);
    let mut terminal = Terminal::open(&command, Size { cols: 100, rows: 30 });
    terminal.until_shows("space twice takes back");
    rig.prompt("say from the phone");
    terminal.until_shows("from the phone");
    rig.until_turns(1);
    rig.until_idle();
    let generation = rig.view().generation;
    terminal.keys(" ");
    terminal.until_shows("press space again");
    terminal.keys(" ");
    rig.until_idle_at_the_desktop();
    let view = rig.view();
    assert_eq!((view.phase, view.generation), (Phase::Running, generation + 1), "one try was enough");
    assert_eq!(rig.control(), Some(Control::Local));
    terminal.until("the agent's own program is shown", |screen| {
        let text = screen.contents();
        !text.contains("the phone drives") && text.contains("say from the phone")
    });
    // Blanks in a row would be a takeback, were anybody still waiting for one.
    let typed = "say  two  blanks";
    terminal.keys(typed);
    terminal.until_shows(typed);
    let mut looks = 0;
    until("the agent takes what was typed", || {
        // An Enter that comes close behind the words may be taken for a line break of theirs: it is pressed again.
        if looks % 16 == 0 {
            terminal.keys("\r");
        }
        looks += 1;
        rig.records().iter().any(|body| matches!(body, RecordBody::UserText { text } if text == typed))
    });
    rig.until_turns(2);
    assert_eq!(rig.said("from the phone"), 1);
    ends(rig);
}

/// `/clear` begins another conversation, at the desktop and from afar; what is said goes on being recorded, once, also
/// when no daemon was there to see it.
pub(super) fn is_cleared(mut rig: Rig) {
    let first = rig.conversation();
    rig.until_idle_at_the_desktop();
    rig.types("say a long story before it is cleared");
    rig.until_turns(1);
    let clear = |rig: &mut Rig, from: &str| {
        rig.until_idle();
        rig.keys("/clear");
        rig.enters_until("the conversation is another", |rig| rig.conversation() != from);
        rig.conversation()
    };
    let second = clear(&mut rig, &first);
    rig.types("say short");
    rig.until_said("short");
    rig.until_turns(2);

    // The daemon dies, and comes back to a conversation whose transcript is shorter than the first one's.
    rig.daemon_dies();
    rig.daemon_comes();
    rig.until_idle();
    rig.types("say again");
    rig.until_said("again");
    rig.until_turns(3);
    assert_eq!(rig.conversation(), second);

    rig.switch(Control::Remote);
    rig.prompt("recall");
    let recalled = rig.until_said("recall: ");
    assert!(recalled.contains("say again") && !recalled.contains("a long story"), "{recalled}");
    rig.until_turns(4);
    rig.until_idle();
    rig.prompt("/clear");
    until("the conversation is another", || rig.conversation() != second);
    rig.until_idle();
    let third = rig.conversation();
    rig.prompt("say from afar");
    rig.until_said("from afar");
    rig.until_idle();

    rig.switch(Control::Local);
    rig.until_idle_at_the_desktop();
    rig.types("recall");
    until("the third conversation goes on at the desktop", || {
        rig.records().iter().any(|body| {
            matches!(body, RecordBody::Text { text } if text.contains("recall: ") && text.contains("say from afar"))
        })
    });
    assert_eq!(rig.conversation(), third);
    for words in ["a long story before it is cleared", "short", "again", "from afar"] {
        assert_eq!(rig.said(words), 1, "{words:?}");
    }
    // A change of hands before anything was said in the new conversation.
    let fourth = clear(&mut rig, &third);
    rig.switch(Control::Remote);
    rig.prompt("recall");
    until("the fourth conversation goes on from afar", || {
        rig.records()
            .iter()
            .any(|body| matches!(body, RecordBody::Text { text } if text.trim() == "recall: 1) recall"))
    });
    assert_eq!(rig.conversation(), fourth);
    ends(rig);
}

/// What was said in a conversation that was begun and left while no daemon ran is told, too.
pub(super) fn is_cleared_twice_while_nobody_listens(mut rig: Rig) {
    rig.until_idle_at_the_desktop();
    rig.types("say in the first");
    rig.until_turns(1);
    rig.until_idle();
    let mut command = rig.sandbox.command(binaries::program("delightctl"));
    command.args(["attach", rig.id.as_str()]);
    let mut desk = Terminal::open(&command, Size { cols: 100, rows: 30 });
    desk.until_shows("in the first");
    rig.daemon_dies();
    let config = rig.sandbox.home().join("claude");
    let mut now = until_some("Claude is idle", || idle_in(&config));
    for words in ["in the middle", "in the last"] {
        let before = now;
        desk.keys("/clear");
        enters_until(&mut desk, "it is cleared", || idle_in(&config).is_some_and(|now| now != before));
        now = until_some("Claude is idle", || idle_in(&config));
        desk.keys(format!("say {words}"));
        enters_until(&mut desk, "it has answered", || {
            transcript(&config, &now).contains(&format!("\"text\":\"{words}")) && idle_in(&config).is_some()
        });
    }
    rig.daemon_comes();
    rig.until_said("in the last");
    for words in ["in the first", "in the middle", "in the last"] {
        assert_eq!(rig.said(words), 1, "{words:?}");
    }
    assert_eq!(rig.conversation(), now);
    drop(desk);
    ends(rig);
}

/// The conversation Claude is in, if it is idle.
fn idle_in(config: &Path) -> Option<String> {
    // Keys lie beside it.
    let mut files = fs::read_dir(config.join("sessions")).ok()?.flatten().map(|file| file.path());
    let status = fs::read(files.find(|path| path.extension().is_some_and(|kind| kind == "json"))?).ok()?;
    let status: serde_json::Value = serde_json::from_slice(&status).ok()?;
    (status["status"] == "idle").then(|| status["sessionId"].as_str().map(str::to_owned))?
}

fn transcript(config: &Path, conversation: &str) -> String {
    let projects = fs::read_dir(config.join("projects")).into_iter().flatten().flatten();
    let mut found = projects.map(|project| project.path().join(format!("{conversation}.jsonl")));
    found.find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default()
}

/// Presses Enter at a terminal until something has come of it.
fn enters_until(desk: &mut Terminal, what: &str, mut done: impl FnMut() -> bool) {
    let mut looks = 0;
    until(what, || {
        if looks % 16 == 15 {
            desk.keys("\r");
        }
        looks += 1;
        done()
    });
}
