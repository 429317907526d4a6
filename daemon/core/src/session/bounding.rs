//! Bounds on what comes from agents: what is too long is cut, and says so.

use delight_proto::agent::bounds::{OFFERED, OFFERED_TEXT, PATHS, RECORD_TEXT, SHORT_TEXT, TOOL_INPUT};
use delight_proto::agent::{AgentRecord, Mode, Offers, PermissionAsk, RecordBody, ToolServer, is_effort};
use serde_json::Value;

/// Bytes of a tool's input that are worth keeping once its permission has ended.
const ENDED_INPUT: usize = 1_024;

/// Cuts a text to `bound` bytes, with a note of what is missing inside them.
pub(super) fn text(text: &mut String, bound: usize) {
    if text.len() <= bound {
        return;
    }
    let note = format!(" … [cut; it had {} bytes]", text.len());
    let mut end = bound.saturating_sub(note.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str(&note);
}

/// Replaces a tool's input that is too large by a note of how large it was.
fn input(input: &mut Value, bound: usize) {
    let bytes = size(input);
    if bytes > bound {
        *input = serde_json::json!({ "left-out": format!("{bytes} bytes of input") });
    }
}

/// Bytes of a value as JSON.
fn size(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Writing plain data to a writer that never fails cannot fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// Brings an item of a conversation into bounds.
pub(super) fn record(record: &mut AgentRecord) {
    for id in [&mut record.key, &mut record.parent].into_iter().flatten() {
        text(id, SHORT_TEXT);
    }
    match &mut record.body {
        RecordBody::TurnStarted { turn } | RecordBody::TurnEnded { turn, .. } => text(turn, SHORT_TEXT),
        RecordBody::UserText { text: words }
        | RecordBody::Text { text: words }
        | RecordBody::Thinking { text: words }
        | RecordBody::Error { message: words, .. }
        | RecordBody::Notice { message: words } => text(words, RECORD_TEXT),
        RecordBody::ToolStarted { call, tool, title, input: value } => {
            [call, tool, title].into_iter().for_each(|short| text(short, SHORT_TEXT));
            input(value, TOOL_INPUT);
        }
        RecordBody::ToolEnded { call, output, .. } => {
            text(call, SHORT_TEXT);
            if let Some(output) = output {
                text(output, RECORD_TEXT);
            }
        }
        RecordBody::Usage { .. } => {}
    }
}

/// Brings into bounds how an agent says it works.
pub(super) fn mode(mode: &mut Mode) {
    for name in [&mut mode.model, &mut mode.permission_mode].into_iter().flatten() {
        text(name, SHORT_TEXT);
    }
    // A piece of such a name would be another one, with which the next runner could not be started.
    mode.effort.take_if(|name| !is_effort(name));
}

/// Brings into bounds what an agent says it has to offer. What is cut of a list is said where people look: as its last
/// entry, or with the last choice there is, because nobody could choose a note.
pub(super) fn offers(offers: &mut Offers) {
    for list in [&mut offers.tools, &mut offers.commands, &mut offers.skills].into_iter().flatten() {
        if let Some(note) = cut(list, OFFERED - 1) {
            list.push(note);
        }
        list.iter_mut().for_each(|name| text(name, OFFERED_TEXT));
    }
    if let Some(servers) = &mut offers.servers {
        if let Some(note) = cut(servers, OFFERED - 1) {
            servers.push(ToolServer { name: note, status: String::new() });
        }
        for server in servers {
            text(&mut server.name, OFFERED_TEXT);
            text(&mut server.status, OFFERED_TEXT);
        }
    }
    let choices = [&mut offers.models, &mut offers.permission_modes, &mut offers.efforts];
    for list in choices.into_iter().flatten() {
        // A piece of a code chooses nothing.
        list.retain(|choice| !choice.code.is_empty() && choice.code.len() <= OFFERED_TEXT);
        if let (Some(note), Some(last)) = (cut(list, OFFERED), list.last_mut()) {
            last.description = Some(note);
        }
        for choice in list {
            text(&mut choice.name, OFFERED_TEXT);
            if let Some(description) = &mut choice.description {
                text(description, OFFERED_TEXT);
            }
        }
    }
}

/// Cuts a list to so many entries; says so if it had more.
fn cut<T>(list: &mut Vec<T>, bound: usize) -> Option<String> {
    let had = list.len();
    list.truncate(bound);
    (had > bound).then(|| format!("… [cut; there are {had}]"))
}

/// Brings a request into bounds. Policy has decided on the whole of it before.
pub(super) fn ask(ask: &mut PermissionAsk) {
    text(&mut ask.tool, SHORT_TEXT);
    text(&mut ask.title, SHORT_TEXT);
    input(&mut ask.input, TOOL_INPUT);
    for words in [&mut ask.call, &mut ask.command].into_iter().flatten() {
        text(words, TOOL_INPUT);
    }
    // Whoever decides later does not see all of it: it must not pass for harmless.
    ask.read_only &= ask.paths.len() <= PATHS;
    ask.paths.truncate(PATHS);
    ask.paths.iter_mut().for_each(|path| text(path, crate::session::state::MAX_PATH_BYTES));
}

/// Lets go of what nobody needs of a request that has ended.
pub(super) fn shrink(ask: &mut PermissionAsk) {
    input(&mut ask.input, ENDED_INPUT);
    if let Some(command) = &mut ask.command {
        text(command, ENDED_INPUT);
    }
    ask.paths.truncate(1);
}
