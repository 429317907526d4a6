//! `replay`: whether a session's recorded inputs give again what they gave.

use delight_proto::api::method::{SessionRef, SessionReplay};
use delight_proto::refusal::{Code, Refusal};

use crate::context::Context;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Inputs are recorded where the daemon's configuration says `record = true`; a recording holds what was typed. The daemon \
that answers folds them: a newer one says whether it would have decided the same. Exit status 9: it would not have.

Example:
  delightctl replay review")]
pub(crate) struct Args {
    /// Session: ID, unique prefix, name or @last
    session: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<u8, Failure> {
        let result = context.daemon()?.call::<SessionReplay>(&SessionRef { session: self.session })?;
        if let Some(it) = &result.difference {
            let why = format!("{}: then {}, now {}", it.input, it.recorded, it.folded);
            let what = format!("session {} is decided about differently now", result.id.short());
            let fix =
                "another build may decide otherwise; from the same build it is a fault: please report it";
            return Err(Refusal::new(Code::VersionSkew, what, why).fix(fix).into());
        }
        context.out.result(&result, || {
            let mut words = format!("{} inputs give the same again", result.inputs);
            if result.skipped > 0 {
                words += &format!("; {} before the first recorded state were left out", result.skipped);
            }
            let hash = result.state_hash.as_deref().unwrap_or("unknown");
            format!("{words}\nstate {hash}, from {} recorded states\n", result.states)
        })?;
        Ok(0)
    }
}
