//! `file-editor`: the files below one directory, for a person far away: list, read, write, watch (Dispatch).
//!
//! It is no agent. Its runner is this program itself (`delightd file-editor ROOT`), which speaks one JSON document a line
//! on its pipes: requests are typed into the session, answers and changes are its output, and so they are journaled,
//! replayed and shared like those of any other session. See `serve.rs`.

mod serve;
mod watches;

use std::path::PathBuf;

use delight_core::session::{Capabilities, Survivors};
use delight_proto::holder::Stdio;
use delight_proto::refusal::{Code, Refusal};

pub(crate) use serve::serve;

use super::{Adapter, Launch, Machine, RunnerPlan};

/// See the module.
#[derive(Debug)]
pub(super) struct FileEditor;

impl Adapter for FileEditor {
    fn kind(&self) -> &str {
        "file-editor"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { survivors: Survivors::End, ..Capabilities::default() }
    }

    fn detect(&self, machine: &Machine) -> Result<PathBuf, Refusal> {
        Ok(machine.daemon.clone())
    }

    fn plan(
        &self,
        launch: &Launch<'_>,
        machine: &Machine,
        env: Vec<(String, String)>,
    ) -> Result<RunnerPlan, Refusal> {
        // The directory is the working directory, or the one word that was said.
        let root = match &launch.spec.command[..] {
            [] => launch.spec.cwd.clone(),
            [root] => root.clone(),
            _ => {
                let what = "file-editor cannot be started";
                return Err(Refusal::new(Code::StartFailed, what, "it takes one directory")
                    .fix("name one directory, or none for the working directory"));
            }
        };
        let mut argv = vec![machine.daemon.to_string_lossy().into_owned(), "file-editor".to_owned()];
        for private in &machine.private {
            argv.extend(["--private".to_owned(), private.to_string_lossy().into_owned()]);
        }
        argv.push(root);
        Ok(RunnerPlan { argv, env, stdio: Stdio::Pipes })
    }
}
